import {
  constants,
  createBrotliDecompress,
  createInflateRaw,
  createZstdDecompress,
  type BrotliDecompress,
  type InflateRaw,
  type ZstdDecompress,
} from "node:zlib";
import type { Coding } from "./coding.ts";
import { GzipHeader } from "./gzip-header.ts";

export type Engine = InflateRaw | BrotliDecompress | ZstdDecompress;

/** What stands around the compressed data of one member or frame of a coding. */
export interface Wrapper {
  /** Takes bytes before the compressed data: how many it used, and whether the data begins after them. Null: not this coding. */
  head(bytes: Buffer): { readonly used: number; readonly done: boolean } | null;
  /** bytes after the compressed data that belong to the member */
  readonly trailer: number;
  engine(): Engine;
}

/** RFC 9659: a zstd window above 8 MiB is not for HTTP, and would let a header ask for 128 MiB of memory */
const ZSTD_WINDOW_LOG = 23;

export function createWrapper(coding: Coding): Wrapper {
  switch (coding) {
    case "gzip": {
      const header = new GzipHeader();
      return { head: (bytes) => header.read(bytes), trailer: 8, engine: inflateRaw };
    }
    case "deflate":
      return new DeflateWrapper();
    case "br":
      return {
        head: () => ({ used: 0, done: true }),
        trailer: 0,
        engine: () => createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH }),
      };
    case "zstd":
      return {
        head: (bytes) => (bytes[0] === 0x28 || (bytes[0] ?? 0) >> 4 === 5 ? { used: 0, done: true } : null),
        trailer: 0,
        engine: createZstdFrame,
      };
    default:
      return coding satisfies never;
  }
}

/** Decodes one frame: Node's zstd ends with the first that ends inside of a chunk, and drops what follows. */
export function createZstdFrame(): ZstdDecompress {
  return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } });
}

/** Can another member follow the first one? */
export function hasMembers(coding: Coding): boolean {
  return coding === "gzip" || coding === "zstd";
}

function inflateRaw(): InflateRaw {
  return createInflateRaw({ flush: constants.Z_SYNC_FLUSH });
}

/** `deflate` means the zlib format (RFC 9110 §8.4.1.2), but servers send raw deflate too; RFC 1950's first byte tells them apart. */
class DeflateWrapper implements Wrapper {
  #kind: "unknown" | "half" | "zlib" | "raw" = "unknown";

  head(bytes: Buffer): { readonly used: number; readonly done: boolean } {
    let used = 0;
    if (this.#kind === "unknown") {
      // CMF 0x?8 could only start raw deflate as a stored block with padding bits set, which no encoder writes
      this.#kind = ((bytes[0] ?? 0) & 0x0f) === 8 ? "half" : "raw";
      if (this.#kind === "half") used = 1;
    }
    if (this.#kind === "half") {
      if (bytes.length === used) return { used, done: false };
      this.#kind = "zlib";
      used += 1;
    }
    return { used, done: true };
  }

  /** Adler-32 */
  get trailer(): number {
    return this.#kind === "raw" ? 0 : 4;
  }

  engine(): Engine {
    return inflateRaw();
  }
}
