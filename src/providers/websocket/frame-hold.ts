/** Bytes of one direction that wait until the message they belong to was judged; positions are those of the whole stream. */
export class FrameHold {
  #parts: Buffer[] = [];
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
    if (this.#bytes === 0) {
      const all = this.#parts;
      this.#parts = [];
      return all;
    }
    const out: Buffer[] = [];
    let whole = 0;
    for (const part of this.#parts) {
      if (part.length > left) break;
      out.push(part);
      left -= part.length;
      whole += 1;
    }
    const rest = this.#parts.slice(whole);
    const [first] = rest;
    if (left > 0 && first !== undefined) {
      out.push(first.subarray(0, left));
      rest[0] = first.subarray(left);
    }
    this.#parts = rest;
    return out;
  }

  clear(): void {
    this.#from += this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
  }
}
