import { FewPieces } from "../../base/few-pieces.ts";

/** bytes past which it pays to put a body together as it comes */
const LARGE = 64 * 1024;

/**
 * The pieces of a body that is held. A large one whose length was announced is put together as it comes, so that its pieces need not
 * be kept beside it; no memory is touched for what was announced and does not come.
 */
export class Gathering {
  readonly #announced: number | null;
  readonly #pieces = new FewPieces();
  #whole: Buffer | undefined;
  #size = 0;

  /** @param announced the length that the sender gave and that is not too much to be held; null when there is none */
  constructor(announced: number | null) {
    this.#announced = announced;
  }

  /** bytes so far */
  get size(): number {
    return this.#size;
  }

  add(piece: Buffer): void {
    const end = this.#size + piece.length;
    if (this.#whole !== undefined && end > this.#whole.length) {
      // more than was announced
      this.#pieces.push(this.#whole.subarray(0, this.#size));
      this.#whole = undefined;
    }
    if (this.#whole !== undefined) piece.copy(this.#whole, this.#size);
    else this.#pieces.push(piece);
    this.#size = end;
    if (this.#whole === undefined && this.#announced !== null && end > LARGE && end <= this.#announced) this.#join(this.#announced);
  }

  /** What came, in order; a view of it where it was put together. */
  pieces(): readonly Buffer[] {
    return this.#whole === undefined ? this.#pieces.all : [this.#whole.subarray(0, this.#size)];
  }

  bytes(): Buffer {
    const pieces = this.pieces();
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, this.#size);
  }

  #join(length: number): void {
    const whole = Buffer.allocUnsafeSlow(length);
    let at = 0;
    for (const piece of this.#pieces.take()) at += piece.copy(whole, at);
    this.#whole = whole;
  }
}
