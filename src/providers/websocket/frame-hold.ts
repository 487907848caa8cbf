import { FewPieces } from "../../base/few-pieces.ts";

/** Bytes of one direction that wait until the message they belong to was judged; positions are those of the whole stream. */
export class FrameHold {
  readonly #parts = new FewPieces();
  #from = 0;
  #bytes = 0;

  /** bytes that wait */
  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
  }

  /** Takes out what stands before this position. */
  release(before: number): readonly Buffer[] {
    let left = Math.min(before - this.#from, this.#bytes);
    if (left <= 0) return [];
    this.#from += left;
    this.#bytes -= left;
    const parts = this.#parts.take();
    if (this.#bytes === 0) return parts;
    const out: Buffer[] = [];
    let whole = 0;
    for (const part of parts) {
      if (part.length > left) break;
      out.push(part);
      left -= part.length;
      whole += 1;
    }
    const [first, ...rest] = parts.slice(whole);
    if (left > 0 && first !== undefined) out.push(first.subarray(0, left));
    if (first !== undefined) this.#parts.push(first.subarray(left));
    for (const part of rest) this.#parts.push(part);
    return out;
  }

  clear(): void {
    this.#from += this.#bytes;
    this.#parts.take();
    this.#bytes = 0;
  }
}
