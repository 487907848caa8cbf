import { Readable } from "node:stream";
import type { RequestBody } from "./exchange.ts";

/** bytes of a held body that are written at once: TLS copies what it is given more than once */
const SLICE = 256 * 1024;

/** What is sent as a body; `length` where it has to be said beside it. */
export type SentBody = { readonly content: Buffer | Readable | null; readonly length: number | null };

/** A body for one attempt to send it; what is held can be sent again. */
export function sentBody(body: RequestBody): SentBody {
  if (body.kind === "none") return { content: null, length: null };
  if (body.kind === "stream") return { content: body.stream, length: body.length };
  const { bytes } = body;
  if (bytes.length <= SLICE) return { content: bytes, length: null };
  const content = Readable.from(slices(bytes), { objectMode: false, highWaterMark: SLICE });
  // an attempt that is given up destroys it with the reason, and the exchange learns of that by itself
  content.on("error", () => content.destroy());
  return { content, length: bytes.length };
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += SLICE) yield bytes.subarray(at, at + SLICE);
}
