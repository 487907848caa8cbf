import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable, type Transform, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { constants, createBrotliCompress, createBrotliDecompress, createGunzip, createGzip, createZstdDecompress } from "node:zlib";
import { isObject, type Json, type Piece } from "./shape.ts";

export type Coding = "identity" | "gzip" | "br";

/** enough for any request of an agent */
const MAX_BODY_BYTES = 64 << 20;

export class BadRequest extends Error {
  readonly status: number;

  constructor(message: string, options: ErrorOptions & { readonly status?: number } = {}) {
    super(message, options);
    this.status = options.status ?? 400;
  }
}

export async function readJson(request: IncomingMessage): Promise<Json> {
  const decoders: Readonly<Record<string, () => Transform>> = {
    gzip: () => createGunzip(),
    br: () => createBrotliDecompress(),
    zstd: () => createZstdDecompress(),
  };
  const coding = request.headers["content-encoding"];
  const decoder = coding === undefined || coding === "identity" ? undefined : decoders[coding]?.();
  if (coding !== undefined && coding !== "identity" && decoder === undefined)
    throw new BadRequest(`content-encoding ${coding} is not supported`);
  const chunks: Buffer[] = [];
  let size = 0;
  const collect = async (source: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) throw new BadRequest("the request is too large");
      chunks.push(chunk);
    }
  };
  if (decoder === undefined) await collect(request);
  else await pipeline(request, decoder, collect);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new BadRequest("the request body is not JSON", { cause: error });
  }
  if (!isObject(value)) throw new BadRequest("the request body is not a JSON object");
  return value;
}

/** The coding that is wanted, if the client takes it. */
export function negotiate(request: IncomingMessage, wanted: Coding): Coding {
  const accepted = String(request.headers["accept-encoding"] ?? "")
    .split(",")
    .map((coding) => coding.split(";")[0]?.trim());
  return accepted.includes(wanted) ? wanted : "identity";
}

/** Ends with what flushes after every write, so that an event does not wait in the compressor for the next one. */
function compressor(coding: Coding): Transform | undefined {
  if (coding === "gzip") return createGzip({ flush: constants.Z_SYNC_FLUSH });
  if (coding === "br") return createBrotliCompress({ flush: constants.BROTLI_OPERATION_FLUSH });
  return undefined;
}

export type Pace = {
  /** pause between two pieces of a stream (ms) */
  readonly delayMs: number;
  /** awaited before the piece with this index is sent; a test holds the stream back with it */
  readonly before?: ((index: number) => Promise<void> | undefined) | undefined;
  readonly signal: AbortSignal;
};

/** Sends a body, piece by piece; `onReport` is called when the piece with the usage has been handed to the socket. */
export async function send(
  response: ServerResponse,
  coding: Coding,
  pieces: readonly Piece[],
  pace: Pace,
  onReport: () => void,
): Promise<void> {
  const source = Readable.from(paced(pieces, pace, onReport), { objectMode: false, highWaterMark: 1 });
  const transform = compressor(coding);
  const target: Writable = response;
  if (transform === undefined) await pipeline(source, target, { signal: pace.signal });
  else await pipeline(source, transform, target, { signal: pace.signal });
}

async function* paced(pieces: readonly Piece[], pace: Pace, onReport: () => void): AsyncGenerator<Buffer> {
  for (const [index, piece] of pieces.entries()) {
    if (index > 0 && pace.delayMs > 0) await delay(pace.delayMs, undefined, { signal: pace.signal });
    await pace.before?.(index);
    if (piece.reports === true) onReport();
    yield Buffer.from(piece.bytes);
  }
}
