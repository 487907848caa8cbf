/** pieces after which it is looked whether they are small */
const MANY = 256;
/** bytes of a piece, on average, that are worth a buffer of their own */
const SMALL = 1024;

/**
 * Buffers that wait, in order. Many small ones are put together: a buffer takes some hundred bytes beside its content, and may keep a
 * larger one alive, so that whoever sends byte by byte would make a limit on bytes worth nothing.
 */
export class FewPieces {
  #pieces: Buffer[] = [];
  #loose = 0;
  #looseBytes = 0;

  push(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#loose += 1;
    this.#looseBytes += piece.length;
    if (this.#loose < MANY) return;
    if (this.#looseBytes < MANY * SMALL) this.#pieces.push(Buffer.concat(this.#pieces.splice(-MANY)));
    this.#loose = 0;
    this.#looseBytes = 0;
  }

  /** All of them, still held. */
  get all(): readonly Buffer[] {
    return this.#pieces;
  }

  /** All of them; they are the caller's from now on. */
  take(): Buffer[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#loose = 0;
    this.#looseBytes = 0;
    return pieces;
  }
}
