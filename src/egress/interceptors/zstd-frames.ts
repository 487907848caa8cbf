import { Transform, type TransformCallback } from "node:stream";
import type { ZstdDecompress } from "node:zlib";
import { createZstdFrame } from "../../providers/decode/member.ts";

/** Undoes zstd at the pace of who reads, all frames of it (RFC 8878 §3: they simply follow each other). */
export class ZstdFrames extends Transform {
  #frame: ZstdDecompress | undefined;
  /** told when the frame has taken what it was given, or is over */
  #settle: (error?: Error) => void = () => undefined;
  #isOver = false;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#feed(chunk).then(() => done(), done);
  }

  override _flush(done: TransformCallback): void {
    const frame = this.#frame;
    if (frame === undefined) return done();
    this.#settle = done;
    frame.end();
  }

  override _read(size: number): void {
    this.#frame?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#frame?.destroy();
    super._destroy(error, done);
  }

  async #feed(chunk: Buffer): Promise<void> {
    for (let rest = chunk; rest.length > 0; ) {
      const frame = (this.#frame ??= this.#begin());
      const before = frame.bytesWritten;
      await new Promise<void>((resolve, reject) => {
        // written apart from the property: V8 would make it old at once, and with it keep the chunk until a full collection
        const settle = (error?: Error): void => (error === undefined ? resolve() : reject(error));
        this.#settle = settle;
        // its callback does not come when the frame ends inside of the chunk: then its end does
        frame.write(rest, () => resolve());
      });
      if (!this.#isOver) return;
      rest = rest.subarray(frame.bytesWritten - before);
      frame.destroy();
      this.#frame = undefined;
    }
  }

  #begin(): ZstdDecompress {
    this.#isOver = false;
    const frame = createZstdFrame();
    frame.on("data", (bytes: Buffer) => {
      if (!this.push(bytes)) frame.pause();
    });
    frame.on("end", () => {
      this.#isOver = true;
      this.#settle();
    });
    frame.on("error", (error) => this.#settle(error));
    return frame;
  }
}
