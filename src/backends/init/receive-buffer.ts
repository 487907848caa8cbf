/** Payloads below this are copied together, so that one byte never pins the whole chunk it came in. */
const SMALL = 8 * 1024;
const BLOCK = 16 * 1024;

/** A queue of bytes whose memory stays in proportion to what it holds, however the sender cut its frames. */
export class ReceiveBuffer {
  #chunks: Buffer[] = [];
  #block = Buffer.alloc(0);
  #blockBytes = 0;
  /** the last entry of `chunks` ends where the block's used part ends, so it can grow */
  #growing = false;

  add(payload: Buffer): void {
    if (payload.length < SMALL) {
      this.#addSmall(payload);
      return;
    }
    this.#growing = false;
    const isMostOfItsMemory = payload.length * 2 >= payload.buffer.byteLength;
    this.#chunks.push(isMostOfItsMemory ? payload : copyOf(payload));
  }

  /** The oldest bytes, in one piece of no particular size. */
  take(): Buffer | undefined {
    const chunk = this.#chunks.shift();
    if (this.#chunks.length === 0) this.#growing = false;
    return chunk;
  }

  clear(): void {
    this.#chunks = [];
    this.#block = Buffer.alloc(0);
    this.#blockBytes = 0;
    this.#growing = false;
  }

  #addSmall(payload: Buffer): void {
    if (this.#blockBytes + payload.length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK);
      this.#blockBytes = 0;
      this.#growing = false;
    }
    const last = this.#growing ? this.#chunks.pop() : undefined;
    const start = this.#blockBytes - (last?.length ?? 0);
    payload.copy(this.#block, this.#blockBytes);
    this.#blockBytes += payload.length;
    this.#chunks.push(this.#block.subarray(start, this.#blockBytes));
    this.#growing = true;
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
