import { parseContentEncoding } from "./coding.ts";
import { Decoder, type DecodeEnd, type DecodeLimits } from "./decoder.ts";

/** A body's decoded bytes: at once for identity, beside the data path for the rest. */
export interface BodyDecoder {
  write(chunk: Buffer): void;
  end(): Promise<DecodeEnd>;
}

/** gzip cannot pass 1032:1, and no honest answer of brotli or zstd comes near it past the first mebibyte */
export const TAP_LIMITS: DecodeLimits = { queueBytes: 16 * 1024 * 1024, outputBytes: 256 * 1024 * 1024, ratio: 1000 };

/** Null when the coding is unknown: such a body cannot be read. */
export function createBodyDecoder(
  contentEncoding: string | undefined,
  limits: DecodeLimits,
  onData: (chunk: Buffer) => void,
): BodyDecoder | null {
  const codings = parseContentEncoding(contentEncoding);
  if (codings === null) return null;
  const [inner, outer] = codings;
  if (inner === undefined) return { write: onData, end: () => Promise.resolve("complete") };
  const last = new Decoder(inner, limits, onData);
  if (outer === undefined) return last;
  const first = new Decoder(outer, limits, (chunk) => last.write(Buffer.from(chunk)));
  return {
    write: (chunk) => first.write(chunk),
    end: async () => {
      const firstEnd = await first.end();
      const lastEnd = await last.end();
      return firstEnd === "complete" ? lastEnd : firstEnd;
    },
  };
}

/**
 * A whole body decoded by its Content-Encoding, so that it can be changed. Null when the coding is unknown, the bytes are not
 * exactly that coding, or it grows past `maxBytes`: then the body must be forwarded as it is.
 */
export async function decodeBody(body: Uint8Array, contentEncoding: string | undefined, maxBytes: number): Promise<Buffer | null> {
  const parts: Buffer[] = [];
  const limits: DecodeLimits = { queueBytes: Math.max(maxBytes, body.length), outputBytes: maxBytes, ratio: TAP_LIMITS.ratio };
  const decoder = createBodyDecoder(contentEncoding, limits, (chunk) => parts.push(chunk));
  if (decoder === null || body.length > maxBytes) return null;
  decoder.write(asBuffer(body));
  return (await decoder.end()) === "complete" ? Buffer.concat(parts) : null;
}

/** The same bytes as a Buffer, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
