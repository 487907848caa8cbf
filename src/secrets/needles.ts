import type { Form } from "./forms.ts";

const PERCENT = 0x25;
/** bytes that are searched for every text before the next ones: what stays in the processor's cache is read from memory once */
const WINDOW = 128 * 1024;

type Needle = Form & {
  /** the same, one character for one byte */
  readonly text: string;
  readonly replacement: string;
  /** it stands only where a percent sign does, and few things have one */
  readonly hasPercent: boolean;
};

/** Some texts, with what a search for them wants to know; made once for each list. */
export class Needles {
  readonly #all: readonly Needle[];
  /** 1 for each byte that occurs in a text */
  readonly #within = new Uint8Array(256);
  /** bytes of the longest and the shortest */
  readonly longest: number;
  readonly shortest: number;

  constructor(forms: readonly Form[]) {
    this.#all = forms.map(({ bytes, instead }) => ({
      bytes,
      instead,
      text: bytes.toString("latin1"),
      replacement: instead.toString("latin1"),
      hasPercent: bytes.includes(PERCENT),
    }));
    for (const { bytes } of forms) for (const byte of bytes) this.#within[byte] = 1;
    this.longest = forms.reduce((most, { bytes }) => Math.max(most, bytes.length), 0);
    this.shortest = forms.reduce((least, { bytes }) => Math.min(least, bytes.length), Number.POSITIVE_INFINITY);
  }

  /** The number of a text that these bytes hold; -1: none. */
  find(bytes: Buffer): number {
    if (bytes.length < this.shortest) return -1;
    for (let at = 0; at < bytes.length; at += WINDOW) {
      const found = this.#findIn(bytes.subarray(at, at + WINDOW + this.longest - 1));
      if (found !== -1) return found;
    }
    return -1;
  }

  #findIn(bytes: Buffer): number {
    const mayEscape = bytes.includes(PERCENT);
    return this.#all.findIndex((needle) => (mayEscape || !needle.hasPercent) && bytes.includes(needle.bytes));
  }

  /** The bytes with every text replaced: the same buffer when there is none, since it belongs to whoever gave it. */
  replace(bytes: Buffer, onFound: () => void): Buffer {
    if (bytes.length < this.shortest) return bytes;
    const mayEscape = bytes.includes(PERCENT);
    let out = bytes;
    for (const { bytes: text, instead, hasPercent } of this.#all) {
      if (hasPercent && !mayEscape) continue;
      for (let at = out.indexOf(text); at !== -1; at = out.indexOf(text, at + text.length)) {
        if (out === bytes) out = Buffer.from(bytes);
        instead.copy(out, at);
        onFound();
      }
    }
    return out;
  }

  /** The same for a text that is there as a whole, one character for one byte. */
  replaceIn(text: string): string {
    if (text.length < this.shortest) return text;
    let out = text;
    for (const needle of this.#all)
      if (text.length >= needle.text.length && out.includes(needle.text)) out = out.replaceAll(needle.text, () => needle.replacement);
    return out;
  }

  /** Where the longest end begins that is the beginning of a text; the length when there is none. */
  beginning(bytes: Buffer): number {
    const least = Math.max(0, bytes.length - this.longest + 1);
    let from = bytes.length;
    // no beginning of a text holds a byte that no text has
    while (from > least && this.#within[bytes[from - 1] ?? 0] === 1) from -= 1;
    for (; from < bytes.length; from += 1) {
      const length = bytes.length - from;
      if (
        this.#all.some(({ bytes: text }) => text.length > length && text[0] === bytes[from] && bytes.compare(text, 0, length, from) === 0)
      )
        return from;
    }
    return from;
  }
}

const KNOWN = new WeakMap<readonly Form[], Needles>();

/** The needles of a list of forms, remembered for as long as the list lives. */
export function needlesOf(forms: readonly Form[]): Needles {
  let needles = KNOWN.get(forms);
  if (needles === undefined) {
    needles = new Needles(forms);
    KNOWN.set(forms, needles);
  }
  return needles;
}
