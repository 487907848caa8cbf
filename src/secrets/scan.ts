import type { Form } from "./forms.ts";

/**
 * Finds any of some texts in bytes that come in pieces of any size. Holds no more than the longest text, searches with the engine's
 * own `indexOf`.
 */
export class StreamScan {
  readonly #texts: readonly Buffer[];
  readonly #overlap: number;
  #tail: Buffer = Buffer.alloc(0);

  constructor(texts: readonly Buffer[]) {
    this.#texts = texts;
    this.#overlap = Math.max(0, ...texts.map((text) => text.length - 1));
  }

  /** number of a text that this piece completes; -1 when there is none */
  write(piece: Buffer): number {
    if (this.#texts.length === 0) return -1;
    const seam = this.#tail.length === 0 ? this.#tail : Buffer.concat([this.#tail, piece.subarray(0, this.#overlap)]);
    const found = this.#texts.findIndex((text) => piece.includes(text) || seam.includes(text));
    if (found !== -1) return found;
    const rest = piece.length >= this.#overlap ? piece : Buffer.concat([this.#tail, piece]);
    // a copy: a view would keep the whole piece alive
    this.#tail = Buffer.from(rest.subarray(Math.max(0, rest.length - this.#overlap)));
    return -1;
  }
}

/**
 * Replaces texts by others of the same length in bytes that come in pieces. A piece is passed on at once but for an end that could be
 * the beginning of a text; so what ends in a line break, as events do, is never held.
 */
export class StreamRedactor {
  readonly #forms: readonly Form[];
  readonly #firstBytes: ReadonlySet<number>;
  readonly #longest: number;
  #held: Buffer = Buffer.alloc(0);
  /** how many were replaced */
  found = 0;

  constructor(forms: readonly Form[]) {
    this.#forms = forms;
    this.#firstBytes = new Set(forms.flatMap(({ bytes }) => bytes[0] ?? []));
    this.#longest = Math.max(0, ...forms.map(({ bytes }) => bytes.length));
  }

  /** the bytes to pass on now; empty when all of them are held */
  write(piece: Buffer): Buffer {
    const bytes = this.#replace(this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]));
    const from = this.#beginning(bytes);
    this.#held = from === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(from));
    return bytes.subarray(0, from);
  }

  /** what was held, at the end */
  end(): Buffer {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    return held;
  }

  #replace(bytes: Buffer): Buffer {
    let out = bytes;
    for (const { bytes: text, instead } of this.#forms) {
      for (let at = out.indexOf(text); at !== -1; at = out.indexOf(text, at + text.length)) {
        // the piece belongs to whoever gave it
        if (out === bytes) out = Buffer.from(bytes);
        instead.copy(out, at);
        this.found += 1;
      }
    }
    return out;
  }

  /** Where the longest end begins that is the beginning of a text. */
  #beginning(bytes: Buffer): number {
    for (let at = Math.max(0, bytes.length - this.#longest + 1); at < bytes.length; at += 1) {
      if (!this.#firstBytes.has(bytes[at] ?? -1)) continue;
      const end = bytes.subarray(at);
      if (this.#forms.some(({ bytes: text }) => text.length > end.length && text.subarray(0, end.length).equals(end))) return at;
    }
    return bytes.length;
  }
}

/** The same for a text that is there as a whole, one character for one byte. */
export function redactText(forms: readonly Form[], text: string): string {
  let out = text;
  for (const { bytes, instead } of forms) {
    const form = bytes.toString("latin1");
    if (out.includes(form)) out = out.replaceAll(form, instead.toString("latin1"));
  }
  return out;
}
