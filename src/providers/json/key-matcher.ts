import { hashStep, type PathNode } from "./paths.ts";

/** longest raw key that can still name a path: no path key has more than 40 characters, each at most 6 bytes as \u00XX */
const MAX_RAW = 240;

export type KeyMatch = { readonly node: PathNode | null; readonly variantOf: string | null };

const NONE: KeyMatch = { node: null, variantOf: null };

/** Takes the raw bytes of one object key in pieces and finds the path it names; escapes count as what they stand for. */
export class KeyMatcher {
  readonly #raw = Buffer.allocUnsafe(MAX_RAW);
  #length = 0;
  #hash = 0;
  #escaped = false;
  #tooLong = false;

  reset(): void {
    this.#length = 0;
    this.#hash = 0;
    this.#escaped = false;
    this.#tooLong = false;
  }

  /** Takes bytes up to a quote or backslash and returns its index, or `to`. */
  read(buffer: Buffer, from: number, to: number): number {
    let hash = this.#hash;
    let length = this.#length;
    let i = from;
    for (; i < to; i += 1) {
      const byte = buffer[i] ?? 0;
      if (byte === 0x22 || byte === 0x5c) break;
      hash = hashStep(hash, byte);
      if (length < MAX_RAW) this.#raw[length] = byte;
      else this.#tooLong = true;
      length += 1;
    }
    this.#hash = hash;
    this.#length = length;
    return i;
  }

  escape(byte: number): void {
    this.#escaped = true;
    if (this.#length < MAX_RAW) this.#raw[this.#length] = byte;
    else this.#tooLong = true;
    this.#length += 1;
  }

  match(node: PathNode): KeyMatch {
    if (this.#tooLong) return NONE;
    if (this.#escaped) return this.#matchEscaped(node);
    const candidates = node.byHash.get(this.#hash);
    if (candidates === undefined) return NONE;
    let variantOf: string | null = null;
    for (const candidate of candidates) {
      if (candidate.bytes.length !== this.#length) continue;
      if (candidate.bytes.compare(this.#raw, 0, this.#length) === 0) return { node: candidate.node, variantOf: null };
      if (equalButCase(candidate.bytes.toString("latin1"), this.#raw.toString("latin1", 0, this.#length))) variantOf = candidate.node.slot;
    }
    return variantOf === null ? NONE : { node: null, variantOf };
  }

  #matchEscaped(node: PathNode): KeyMatch {
    let key: unknown;
    try {
      key = JSON.parse(`"${this.#raw.toString("utf8", 0, this.#length)}"`);
    } catch {
      // not a legal escape: such a key names nothing
      return NONE;
    }
    if (typeof key !== "string") return NONE;
    const exact = node.byName.get(key);
    if (exact !== undefined) return { node: exact, variantOf: null };
    for (const [name, candidate] of node.byName) {
      if (equalButCase(name, key)) return { node: null, variantOf: candidate.slot };
    }
    return NONE;
  }
}

function equalButCase(left: string, right: string): boolean {
  return left.length === right.length && left.toLowerCase() === right.toLowerCase();
}
