import { hashStep, type KeyMatch, type PathNode } from "./paths.ts";

/** longest raw key that can still name a path: no path key has more than 40 characters, each at most 6 bytes as \u00XX */
const MAX_RAW = 240;

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
    for (const candidate of candidates) {
      if (candidate.bytes.length !== this.#length) continue;
      const likeness = this.#compare(candidate.bytes);
      if (likeness === "equal") return candidate.exact;
      if (likeness === "case") return { node: null, variantOf: candidate.node.slot };
    }
    return NONE;
  }

  // byte by byte: for a few characters a native call costs more than the loop
  #compare(key: Buffer): "equal" | "case" | "different" {
    let likeness: "equal" | "case" = "equal";
    for (let i = 0; i < key.length; i += 1) {
      const left = key[i] ?? 0;
      const right = this.#raw[i] ?? 0;
      if (left === right) continue;
      if ((left | 0x20) !== (right | 0x20) || (left | 0x20) < 0x61 || (left | 0x20) > 0x7a) return "different";
      likeness = "case";
    }
    return likeness;
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
