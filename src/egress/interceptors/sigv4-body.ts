import { ChunkedBody, type ChunkFault, type ChunkSigner, CHUNKED_PAYLOADS } from "../../secrets/sigv4-chunks.ts";
import type { Scope } from "../../secrets/sigv4.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { PassingBody, takeRequestBody } from "../exchange/request-body.ts";
import type { GatewaySecret } from "../options.ts";
import type { Misplaced } from "./secret-substitute.ts";

/** A request whose body is signed chunk by chunk, with the placeholder. */
export type ChunkSigned = {
  readonly key: GatewaySecret;
  /** the request's own signature, as the client made it */
  readonly seed: string;
  readonly payload: string;
  readonly time: string;
  readonly scope: Scope;
};

export function isChunkSigned(payload: string): boolean {
  return CHUNKED_PAYLOADS.has(payload);
}

/** Takes the body over; one that is there as a whole is looked at before anything is sent. `gone` when the sender left. */
export async function checkChunks(exchange: Exchange, signed: ChunkSigned): Promise<Misplaced | "gone" | undefined> {
  if (exchange.body === undefined && (await takeRequestBody(exchange)) === "gone") return "gone";
  const { body } = exchange;
  if (body?.kind === "stream") return undefined;
  const { key, seed } = signed;
  const placeholder = { key: key.placeholder, seed };
  const chunked = chunkedBody(signed, placeholder);
  if (body?.kind === "bytes") chunked.write(body.bytes);
  chunked.end();
  return refusalOf(chunked.fault, key);
}

/**
 * Signs the chunks again, each when it is there as a whole: at once, or as they pass. A body that passes ends at the first chunk that
 * the placeholder did not sign, and with it the request, which the other side has not seen the end of.
 *
 * @param seed the request's own signature, as it is sent
 */
export function signChunks(exchange: Exchange, signed: ChunkSigned, seed: string, refuse: (found: Misplaced) => void): void {
  const { body } = exchange;
  const chunked = chunkedBody(signed, { key: signed.key.value.reveal(), seed });
  if (body?.kind === "bytes") {
    exchange.body = { kind: "bytes", bytes: Buffer.concat(chunked.write(body.bytes) ?? []) };
    return;
  }
  if (body?.kind !== "stream") return;
  if (!(body.stream instanceof PassingBody)) throw new Error("a body that passes can be changed");
  body.stream.change(chunked, () => {
    const found = refusalOf(chunked.fault, signed.key);
    if (found !== undefined) refuse(found);
  });
}

function chunkedBody({ key, seed, payload, time, scope }: ChunkSigned, to: ChunkSigner): ChunkedBody {
  const { hasTrailer = false } = CHUNKED_PAYLOADS.get(payload) ?? {};
  return new ChunkedBody({ from: { key: key.placeholder, seed }, to, time, scope, hasTrailer });
}

function refusalOf(fault: ChunkFault | undefined, key: GatewaySecret): Misplaced | undefined {
  if (fault === undefined) return undefined;
  const { reason, hint } = FAULTS[fault];
  return { secret: key, finding: "secret_misplaced", reason: reason.replace("KEY", key.name), hint };
}

const FAULTS: Readonly<Record<ChunkFault, { readonly reason: string; readonly hint: string }>> = {
  signature: {
    reason: "a chunk of the body was not signed with the placeholder of KEY, or was changed since",
    hint: "let the client sign with the variables of the sandbox, and send the body as it was signed",
  },
  size: {
    reason: "a chunk of the body is larger than 1 MiB, and is not held to be signed again with KEY",
    hint: "let the client make smaller chunks, or sign the body as a whole or not at all",
  },
  form: {
    reason: "the body is not made of signed chunks to its end, as the request says it is, so it cannot be signed again with KEY",
    hint: "send it as SIZE;chunk-signature=…, the bytes, and a chunk of size 0 at the end",
  },
};
