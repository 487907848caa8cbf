import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  constants,
  crc32,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  type BrotliCompress,
  type Gzip,
  type ZstdCompress,
} from "node:zlib";

/** One wire vector: a request and a response as they stand on the wire, and what must be read from them. `docs`: test/vectors/README.md */
export type Vector = {
  readonly id: string;
  readonly provider: string;
  readonly request: {
    readonly method: string;
    readonly host: string;
    /** with query */
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly body_b64?: string;
    readonly body_gen?: { readonly before: string; readonly repeat: string; readonly times: number; readonly after: string };
  };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly framing: string;
    readonly chunks: readonly VectorChunk[];
    /** how the body ended when it was not by itself */
    readonly ended?: "aborted" | "error";
  };
  readonly expect: Readonly<Record<string, unknown>>;
};

export type VectorChunk =
  | string
  | { readonly random_b64: number }
  | { readonly text: string; readonly stripped?: boolean }
  | { readonly b64: string }
  /** one message of an AWS event stream; `wrapped` is put into it as InvokeModel does, base64 in `{"bytes":…}` */
  | { readonly message: Readonly<Record<string, string>>; readonly payload?: string; readonly wrapped?: string };

const DIRECTORY = join(import.meta.dirname, "..", "vectors");

export function loadVectors(): readonly Vector[] {
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(DIRECTORY, name), "utf8")) as Vector);
}

export function requestBody(vector: Vector): Buffer {
  const { body, body_b64, body_gen } = vector.request;
  if (body_b64 !== undefined) return Buffer.from(body_b64, "base64");
  if (body_gen !== undefined) return Buffer.from(body_gen.before + body_gen.repeat.repeat(body_gen.times) + body_gen.after);
  return Buffer.from(body ?? "");
}

/** The response's chunks as bytes; `keepStripped` false leaves out those that a client that did not ask must not see. */
export function responseChunks(vector: Vector, keepStripped = true): readonly Buffer[] {
  return vector.response.chunks
    .filter((chunk) => keepStripped || typeof chunk === "string" || !("stripped" in chunk) || chunk.stripped !== true)
    .map(chunkBytes);
}

function chunkBytes(chunk: VectorChunk): Buffer {
  if (typeof chunk === "string") return Buffer.from(chunk);
  if ("text" in chunk) return Buffer.from(chunk.text);
  if ("b64" in chunk) return Buffer.from(chunk.b64, "base64");
  if ("message" in chunk) {
    const wrapped = chunk.wrapped === undefined ? undefined : `{"bytes":"${Buffer.from(chunk.wrapped).toString("base64")}"}`;
    return eventStreamMessage(chunk.message, Buffer.from(wrapped ?? chunk.payload ?? ""));
  }
  return Buffer.from(randomBase64(chunk.random_b64));
}

/** One message of `application/vnd.amazon.eventstream` with string headers. */
export function eventStreamMessage(headers: Readonly<Record<string, string>>, payload: Uint8Array): Buffer {
  const fields = Object.entries(headers).map(([name, value]) => {
    const text = Buffer.from(value);
    const field = Buffer.alloc(1 + name.length + 3);
    field.writeUInt8(name.length, 0);
    field.write(name, 1, "latin1");
    field.writeUInt8(7, 1 + name.length);
    field.writeUInt16BE(text.length, 2 + name.length);
    return Buffer.concat([field, text]);
  });
  const head = Buffer.concat(fields);
  const prelude = Buffer.alloc(12);
  prelude.writeUInt32BE(12 + head.length + payload.length + 4, 0);
  prelude.writeUInt32BE(head.length, 4);
  prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8);
  const message = Buffer.concat([prelude, head, payload, Buffer.alloc(4)]);
  message.writeUInt32BE(crc32(message.subarray(0, -4)), message.length - 4);
  return message;
}

/** Base64 of so many bytes that do not compress, the same each time. */
function randomBase64(bytes: number): string {
  const data = Buffer.allocUnsafe(bytes);
  let state = 1;
  for (let i = 0; i < bytes; i += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    data[i] = state >> 16;
  }
  return data.toString("base64");
}

const LARGE = 200_000;

/** The five ways in which every body is cut; a large one is cut into 1009 bytes instead of one. */
export const CHUNKINGS: Readonly<Record<string, (chunks: readonly Buffer[]) => readonly Buffer[]>> = {
  "as given": (chunks) => chunks,
  "one byte at a time": (chunks) => everyN(Buffer.concat(chunks)),
  "all in one": (chunks) => [Buffer.concat(chunks)],
  "inside every character": (chunks) => splitBefore(Buffer.concat(chunks), (byte) => byte >= 0x80 && byte < 0xc0),
  "at every CR and LF": (chunks) => splitBefore(Buffer.concat(chunks), (_byte, previous) => previous === 0x0d || previous === 0x0a),
};

export function everyN(whole: Buffer, size = whole.length > LARGE ? 1009 : 1): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let i = 0; i < whole.length; i += size) parts.push(whole.subarray(i, i + size));
  return parts;
}

function splitBefore(whole: Buffer, cut: (byte: number, previous: number) => boolean): readonly Buffer[] {
  const parts: Buffer[] = [];
  let from = 0;
  for (let i = 1; i < whole.length; i += 1) {
    if (!cut(whole[i] ?? 0, whole[i - 1] ?? 0)) continue;
    parts.push(whole.subarray(from, i));
    from = i;
  }
  if (from < whole.length) parts.push(whole.subarray(from));
  return parts;
}

export const ENCODINGS = ["identity", "gzip", "br", "zstd"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** Pieces as a server sends them that flushes after each; `cut` leaves the end of the coding out. */
export async function encodeFlushed(pieces: readonly Buffer[], encoding: Encoding, cut: boolean): Promise<readonly Buffer[]> {
  if (encoding === "identity") return pieces;
  const stream = encoder(encoding);
  const out: Buffer[] = [];
  stream.on("data", (data: Buffer) => out.push(data));
  for (const piece of pieces) {
    stream.write(piece);
    await new Promise<void>((resolve) => stream.flush(() => resolve()));
  }
  if (cut) {
    stream.destroy();
    return out;
  }
  const ended = once(stream, "end");
  stream.end();
  await ended;
  return out;
}

function encoder(encoding: Exclude<Encoding, "identity">): Gzip | BrotliCompress | ZstdCompress {
  if (encoding === "gzip") return createGzip({ level: 1 });
  if (encoding === "br") return createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
  return createZstdCompress();
}
