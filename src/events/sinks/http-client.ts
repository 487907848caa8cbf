import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import { isIP } from "node:net";
import { getCACertificates } from "node:tls";
import { Agent } from "undici";
import { errnoOf, messageOf } from "../../base/error.ts";

/** Judges an address of the destination before it is dialled; a sentence when it may not be. */
export type AddressVet = (address: string) => string | undefined;

export type HttpClientOptions = {
  /** PEM with more roots */
  readonly ca?: string;
  /** ms to a usable connection, TLS included */
  readonly connectMs?: number;
  /** ms for everything, the answer's body included */
  readonly totalMs?: number;
  /** at the same time, at most; default 2 */
  readonly connections?: number;
  /** absent: the operator named the destination, and it may lie anywhere */
  readonly vet?: AddressVet;
};

export type HttpReply = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string };
export type HttpFailure = { readonly failure: string };

export interface HttpClient extends AsyncDisposable {
  /** Never follows a redirect and never throws for what the other side does. */
  post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string | Buffer,
    signal: AbortSignal,
  ): Promise<HttpReply | HttpFailure>;
}

export const CONNECT_MS = 5_000;
export const TOTAL_MS = 30_000;
/** bytes of an answer that are read; a bulk answer has some hundred for each event */
const MAX_REPLY = 4 << 20;

/** Keep-alive connections to one destination, its certificate verified. */
export function createHttpClient(options: HttpClientOptions = {}): HttpClient {
  const { ca, vet, connectMs = CONNECT_MS, totalMs = TOTAL_MS, connections = 2 } = options;
  const agent = new Agent({
    // HTTP/1.1 by name: what a collector behind ALPN does with h2 is one thing more that could differ
    allowH2: false,
    connections,
    pipelining: 1,
    keepAliveTimeout: 10_000,
    headersTimeout: totalMs,
    bodyTimeout: totalMs,
    connect: {
      timeout: connectMs,
      ...(ca === undefined ? {} : { ca: [...getCACertificates("default"), ca] }),
      ...(vet === undefined ? {} : { lookup: vettedLookup(vet) }),
    },
  });
  return {
    post: async (url, headers, body, signal) => {
      const target = new URL(url);
      const literal = target.hostname.replace(/^\[|\]$/g, "");
      const refusal = isIP(literal) === 0 ? undefined : vet?.(literal);
      if (refusal !== undefined) return { failure: refusal };
      const deadline = AbortSignal.timeout(totalMs);
      try {
        const response = await agent.request({
          origin: target.origin,
          path: `${target.pathname}${target.search}`,
          method: "POST",
          headers: { ...headers },
          body,
          signal: AbortSignal.any([signal, deadline]),
        });
        return { status: response.statusCode, headers: flat(response.headers), body: await readCapped(response.body) };
      } catch (error) {
        if (deadline.aborted) return { failure: `no complete answer within ${totalMs / 1000} s` };
        return { failure: explain(error) };
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

/** Resolves a name and gives only addresses that may be dialled, so that what was judged is what is dialled. */
function vettedLookup(vet: AddressVet): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, "", 0);
        return;
      }
      const judged = addresses.map((address) => ({ address, refusal: vet(address.address) }));
      const refused = judged.find(({ refusal }) => refusal !== undefined);
      const [first] = addresses;
      // one bad address among good ones is how a name is turned against its reader
      if (refused !== undefined || first === undefined) callback(new Error(refused?.refusal ?? `${hostname} has no address`), "", 0);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function flat(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
}

async function readCapped(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_REPLY) throw new Error(`the answer is larger than ${MAX_REPLY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function explain(error: unknown): string {
  const message = messageOf(error).slice(0, 300);
  const code = errnoOf(error) ?? errnoOf(error instanceof Error ? error.cause : undefined);
  return code === undefined || message.includes(code) ? message || "the connection failed" : `${message} (${code})`;
}
