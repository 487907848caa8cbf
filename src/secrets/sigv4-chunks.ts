import { createHash, createHmac, type Hash, timingSafeEqual } from "node:crypto";
import { FewPieces } from "../base/few-pieces.ts";
import { type Scope, scopeText, sha256, signingKey } from "./sigv4.ts";

/**
 * Bodies whose chunks are signed one by one (docs.aws.amazon.com, "Signature calculations for the Authorization header: transferring
 * payload in multiple chunks", without and "with trailing headers"): `SIZE;chunk-signature=HEX`, the bytes, and so on to a chunk of
 * size 0; each signature is made of the one before it, the first of the request's own.
 */

/** What such a request says in the place of its body's digest, and whether signed trailing headers follow the chunks. */
export const CHUNKED_PAYLOADS: ReadonlyMap<string, { readonly hasTrailer: boolean }> = new Map([
  ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", { hasTrailer: false }],
  ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", { hasTrailer: true }],
]);

/** bytes of one chunk, which is held: its signature stands before it. Clients make them 64 KiB or 128 KiB */
export const MAX_CHUNK = 1024 * 1024;
/** bytes of a line before a chunk, and of all trailing headers */
const MAX_LINE = 128;
const MAX_TRAILER = 8 * 1024;

const SIGNATURE = /^[0-9a-f]{64}$/;
const CHUNK = /^([0-9a-fA-F]{1,8});chunk-signature=([0-9a-f]{64})$/;
const TRAILER_SIGNATURE = "x-amz-trailer-signature";
const EMPTY = sha256("");

/** One who signs: the secret key, and the signature of the request itself. */
export type ChunkSigner = { readonly key: string; readonly seed: string };

/** Why a body cannot be signed again. */
export type ChunkFault = "signature" | "size" | "form";

type State = "line" | "data" | "after data" | "trailer" | "after the last" | "over";

/** A chunk-signed body on its way: what one signer signed comes out signed by another, as long as before, a chunk at a time. */
export class ChunkedBody {
  readonly #from: Chain;
  readonly #to: Chain;
  readonly #hasTrailer: boolean;
  #state: State = "line";
  /** of the line or the trailer */
  #text = "";
  readonly #data = new FewPieces();
  #left = 0;
  #size = "";
  #claimed = "";
  #hash: Hash = createHash("sha256");
  fault: ChunkFault | undefined;

  constructor(options: {
    readonly from: ChunkSigner;
    readonly to: ChunkSigner;
    readonly time: string;
    readonly scope: Scope;
    readonly hasTrailer: boolean;
  }) {
    const { from, to, time, scope, hasTrailer } = options;
    this.#from = new Chain(from, time, scope);
    this.#to = new Chain(to, time, scope);
    this.#hasTrailer = hasTrailer;
  }

  /** What may go on of it; undefined from the first fault on. */
  write(bytes: Buffer): readonly Buffer[] | undefined {
    const out: Buffer[] = [];
    for (let at = 0; at < bytes.length && this.fault === undefined; ) at = this.#read(bytes, at, out);
    return this.fault === undefined ? out : undefined;
  }

  /** Whether it came to its own end. */
  end(): boolean {
    if (this.#state !== "over") this.fault ??= "form";
    return this.fault === undefined;
  }

  /** Reads from `at` on; where to go on. */
  #read(bytes: Buffer, at: number, out: Buffer[]): number {
    switch (this.#state) {
      case "line":
        return this.#readText(bytes, at, MAX_LINE, "\r\n", (line) => this.#head(line, out));
      case "data":
        return this.#readData(bytes, at);
      case "after data":
        return this.#readText(bytes, at, 2, "\r\n", (line) => {
          if (line !== "") return this.#fail("form");
          out.push(...this.#signed());
          this.#state = "line";
        });
      case "trailer":
        return this.#readText(bytes, at, MAX_TRAILER, "\r\n\r\n", (text) => this.#trailer(text, out));
      case "after the last":
        return this.#readText(bytes, at, 2, "\r\n", (line) => {
          if (line !== "") return this.#fail("form");
          out.push(Buffer.from("\r\n"));
          this.#state = "over";
        });
      case "over":
        this.#fail("form");
        return bytes.length;
      default:
        return this.#state satisfies never;
    }
  }

  /** Gathers text until `end`, a byte at a time: it is short. */
  #readText(bytes: Buffer, from: number, max: number, end: string, take: (text: string) => void): number {
    for (let at = from; at < bytes.length; at += 1) {
      this.#text += String.fromCharCode(bytes[at] ?? 0);
      if (this.#text.endsWith(end)) {
        const text = this.#text.slice(0, -end.length);
        this.#text = "";
        take(text);
        return at + 1;
      }
      if (this.#text.length >= max) {
        this.#fail("form");
        return bytes.length;
      }
    }
    return bytes.length;
  }

  #head(line: string, out: Buffer[]): void {
    const [, size = "", signature = ""] = CHUNK.exec(line) ?? [];
    if (size === "") return this.#fail("form");
    this.#size = size;
    this.#claimed = signature;
    this.#left = Number.parseInt(size, 16);
    if (this.#left > MAX_CHUNK) return this.#fail("size");
    this.#hash = createHash("sha256");
    this.#state = "data";
    if (this.#left > 0) return;
    out.push(...this.#signed());
    this.#state = this.#hasTrailer ? "trailer" : "after the last";
  }

  #readData(bytes: Buffer, at: number): number {
    const piece = bytes.subarray(at, at + this.#left);
    this.#data.push(piece);
    this.#hash.update(piece);
    this.#left -= piece.length;
    if (this.#left === 0) this.#state = "after data";
    return at + piece.length;
  }

  /** The chunk that was read, signed; nothing after a fault. */
  #signed(): readonly Buffer[] {
    const digest = this.#hash.digest("hex");
    if (!isSame(this.#from.chunk(digest), this.#claimed)) {
      this.#fail("signature");
      return [];
    }
    const data = this.#data.take();
    const head = Buffer.from(`${this.#size};chunk-signature=${this.#to.chunk(digest)}\r\n`);
    return data.length === 0 ? [head] : [head, ...data, Buffer.from("\r\n")];
  }

  /** Without the empty line at its end. Lines end in CRLF or, as in the published example and minio-go, in LF with an empty one behind. */
  #trailer(text: string, out: Buffer[]): void {
    const fields = text.split(/(?:\r?\n)+/).map((line) => /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/.exec(line));
    const claimed = fields.filter((field) => field?.[1]?.toLowerCase() === TRAILER_SIGNATURE);
    const [signature] = claimed;
    const value = signature?.[2]?.trim() ?? "";
    if (fields.includes(null) || claimed.length !== 1 || !SIGNATURE.test(value)) return this.#fail("form");
    const signed = fields
      .filter((field) => field !== signature)
      .map((field) => `${field?.[1]?.toLowerCase()}:${field?.[2]?.trim()}\n`)
      .toSorted()
      .join("");
    const digest = sha256(signed);
    if (!isSame(this.#from.trailer(digest), value)) return this.#fail("signature");
    out.push(Buffer.from(`${text.replace(value, this.#to.trailer(digest))}\r\n\r\n`, "latin1"));
    this.#state = "over";
  }

  #fail(fault: ChunkFault): void {
    this.fault ??= fault;
    this.#data.take();
  }
}

/** The signatures of one signer, each made of the one before. */
class Chain {
  readonly #key: Buffer;
  readonly #about: string;
  #previous: string;

  constructor({ key, seed }: ChunkSigner, time: string, scope: Scope) {
    this.#key = signingKey(key, scope);
    this.#about = `${time}\n${scopeText(scope)}`;
    this.#previous = seed;
  }

  /** @param digest of its bytes, in hex */
  chunk(digest: string): string {
    return this.#next(`AWS4-HMAC-SHA256-PAYLOAD\n${this.#about}\n${this.#previous}\n${EMPTY}\n${digest}`);
  }

  /** @param digest of its canonical lines, in hex */
  trailer(digest: string): string {
    return this.#next(`AWS4-HMAC-SHA256-TRAILER\n${this.#about}\n${this.#previous}\n${digest}`);
  }

  #next(text: string): string {
    this.#previous = createHmac("sha256", this.#key).update(text).digest("hex");
    return this.#previous;
  }
}

/** Two signatures in hex. */
function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one, "hex"), Buffer.from(other, "hex")];
  return left.length === right.length && timingSafeEqual(left, right);
}
