import { hasMembers, createWrapper, type Engine, type Wrapper } from "./member.ts";
import type { Coding } from "./coding.ts";

export type DecodeLimits = {
  /** bytes waiting for the decoder */
  readonly queueBytes: number;
  readonly outputBytes: number;
  /** output : input, looked at once the output is past 1 MiB */
  readonly ratio: number;
};

/** `complete`: all of it decoded. `truncated`: it ended early, or something else followed. The rest says why decoding stopped. */
export type DecodeEnd = "complete" | "truncated" | "broken" | "queue_full" | "too_large";

const RATIO_FROM = 1024 * 1024;
const BATCH = 64 * 1024;

/**
 * Undoes one content coding beside the data path: `write` never waits, decoding runs in zlib's threads, output comes in order.
 * gzip and deflate run on raw inflate with their wrappers read here, since Node's Gunzip drops the last output when garbage
 * follows a member, and its zstd stops after the first frame of a chunk.
 */
export class Decoder {
  readonly #coding: Coding;
  readonly #limits: DecodeLimits;
  readonly #onData: (chunk: Buffer) => void;
  #queue: Buffer[] = [];
  #queued = 0;
  #in = 0;
  #out = 0;
  #ended = false;
  #stopped: DecodeEnd | null = null;
  #wake: (() => void) | null = null;
  #wrapper: Wrapper | null = null;
  #engine: Engine | null = null;
  #trailer = 0;
  #members = 0;
  /** inside a member: its head was begun and its trailer is not over */
  #open = false;
  #passThrough = false;
  #settle: (() => void) | null = null;
  #engineEnd: "running" | "ended" | "failed" = "running";
  readonly #finished: Promise<DecodeEnd>;

  constructor(coding: Coding, limits: DecodeLimits, onData: (chunk: Buffer) => void) {
    this.#coding = coding;
    this.#limits = limits;
    this.#onData = onData;
    this.#finished = this.#run();
  }

  write(chunk: Buffer): void {
    if (this.#stopped !== null || this.#ended || chunk.length === 0) return;
    if (this.#queued + chunk.length > this.#limits.queueBytes) return this.#stop("queue_full");
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    this.#wake?.();
  }

  /** Resolves when everything written has been decoded, or decoding was given up. Never rejects. */
  end(): Promise<DecodeEnd> {
    this.#ended = true;
    this.#wake?.();
    return this.#finished;
  }

  #stop(why: DecodeEnd): void {
    this.#stopped ??= why;
    this.#queue = [];
    this.#queued = 0;
    this.#engine?.destroy();
    this.#engine = null;
    this.#settle?.();
    this.#wake?.();
  }

  async #run(): Promise<DecodeEnd> {
    while (this.#stopped === null) {
      const chunk = this.#next();
      if (chunk === null) {
        if (this.#ended) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
        continue;
      }
      this.#in += chunk.length;
      await this.#feed(chunk);
      this.#queued -= this.#stopped === null ? chunk.length : 0;
    }
    if (this.#stopped === null) await this.#finish();
    this.#engine?.destroy();
    this.#engine = null;
    return this.#stopped ?? "complete";
  }

  /** All that waits, up to one batch: a round trip to zlib's threads costs more than its work on a small chunk. */
  #next(): Buffer | null {
    const first = this.#queue[0];
    if (first === undefined) return null;
    let count = 1;
    let bytes = first.length;
    while (count < this.#queue.length && bytes + (this.#queue[count]?.length ?? 0) <= BATCH) {
      bytes += this.#queue[count]?.length ?? 0;
      count += 1;
    }
    const taken = this.#queue.splice(0, count);
    return count === 1 ? first : Buffer.concat(taken);
  }

  async #feed(chunk: Buffer): Promise<void> {
    let rest = chunk;
    while (rest.length > 0 && this.#stopped === null) {
      if (this.#passThrough) {
        this.#emit(rest);
        return;
      }
      if (this.#trailer > 0) {
        const skip = Math.min(this.#trailer, rest.length);
        this.#trailer -= skip;
        rest = rest.subarray(skip);
        if (this.#trailer === 0) this.#open = false;
        continue;
      }
      if (this.#engine === null) {
        if (this.#members > 0 && !this.#open && !hasMembers(this.#coding)) return this.#stop("truncated");
        this.#wrapper ??= createWrapper(this.#coding);
        const head = this.#wrapper.head(rest);
        if (head === null) {
          if (this.#members > 0) return this.#stop("truncated");
          // labelled as coded, but it is not: what came is what the client will see
          if (this.#open) return this.#stop("broken");
          this.#passThrough = true;
          continue;
        }
        this.#open = true;
        rest = rest.subarray(head.used);
        if (head.done) this.#start(this.#wrapper.engine());
        continue;
      }
      rest = await this.#decode(this.#engine, rest);
    }
  }

  #start(engine: Engine): void {
    this.#engineEnd = "running";
    engine.on("data", (data: Buffer) => this.#emit(data));
    engine.on("end", () => {
      this.#engineEnd = "ended";
      this.#settle?.();
    });
    engine.on("error", () => {
      this.#engineEnd = "failed";
      this.#settle?.();
    });
    this.#engine = engine;
  }

  /** Gives one chunk to the engine and returns what it did not use. */
  async #decode(engine: Engine, chunk: Buffer): Promise<Buffer> {
    const before = engine.bytesWritten;
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
      // the callback does not come when the data ended inside the chunk: then `end` does
      engine.write(chunk, () => resolve());
    });
    this.#settle = null;
    if (this.#stopped !== null) return chunk;
    if (this.#engineEnd === "failed") {
      this.#stop(this.#members > 0 ? "truncated" : "broken");
      return chunk;
    }
    if (this.#engineEnd === "running") return chunk.subarray(chunk.length);
    const used = engine.bytesWritten - before;
    this.#endMember();
    return chunk.subarray(used);
  }

  #endMember(): void {
    this.#engine?.destroy();
    this.#engine = null;
    this.#members += 1;
    this.#trailer = this.#wrapper?.trailer ?? 0;
    this.#wrapper = null;
    this.#open = this.#trailer > 0;
  }

  async #finish(): Promise<void> {
    const engine = this.#engine;
    if (this.#passThrough) this.#stopped ??= "truncated";
    if (engine !== null) {
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
        engine.end();
      });
      this.#settle = null;
      if (this.#engineEnd !== "ended") this.#stopped ??= "truncated";
      else if (this.#wrapper !== null && this.#wrapper.trailer > 0) this.#stopped ??= "truncated";
    } else if (this.#open) {
      this.#stopped ??= "truncated";
    }
  }

  #emit(data: Buffer): void {
    if (this.#stopped !== null) return;
    this.#out += data.length;
    if (this.#out > this.#limits.outputBytes) return this.#stop("too_large");
    if (this.#out > RATIO_FROM && this.#out > this.#in * this.#limits.ratio) return this.#stop("too_large");
    this.#onData(data);
  }
}
