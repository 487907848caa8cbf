import type { Form } from "./forms.ts";
import { type Needles, needlesOf } from "./needles.ts";

const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Finds any of some texts in bytes that come in pieces of any size. Of a piece only an end is kept that could be the beginning of a
 * text; searches with the engine's own `indexOf`.
 */
export class StreamScan {
  readonly #needles: Needles;
  #held = NOTHING;

  constructor(forms: readonly Form[]) {
    this.#needles = needlesOf(forms);
  }

  /** number of a text that this piece completes; -1 when there is none */
  write(piece: Buffer): number {
    const bytes = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    const found = this.#needles.find(bytes);
    if (found !== -1) return found;
    const from = this.#needles.beginning(bytes);
    // a copy: a view would keep the whole piece alive
    this.#held = from === bytes.length ? NOTHING : Buffer.from(bytes.subarray(from));
    return -1;
  }
}

/**
 * Replaces texts by others of the same length in bytes that come in pieces. A piece is passed on at once but for an end that could be
 * the beginning of a text; so what ends in a line break, as events do, is never held.
 */
export class StreamRedactor {
  readonly #needles: Needles;
  readonly #onFound = (): void => {
    this.found += 1;
  };
  #held = NOTHING;
  /** how many were replaced */
  found = 0;

  constructor(forms: readonly Form[]) {
    this.#needles = needlesOf(forms);
  }

  /** the bytes to pass on now; empty when all of them are held */
  write(piece: Buffer): Buffer {
    const bytes = this.#needles.replace(this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]), this.#onFound);
    const from = this.#needles.beginning(bytes);
    if (from === bytes.length) {
      this.#held = NOTHING;
      return bytes;
    }
    this.#held = Buffer.from(bytes.subarray(from));
    return bytes.subarray(0, from);
  }

  /** what was held, at the end */
  end(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }
}
