import { FrameError, MAX_DATA, WINDOW } from "./frame.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";

/** The bytes of one channel from the sandbox. What the reader has not taken is held here, never more than one window. */
export class Inbound {
  readonly #buffer = new ReceiveBuffer();
  readonly #push: (chunk: Buffer | null) => boolean;
  readonly #grant: (bytes: number) => void;
  /** what the other side may still send */
  #room = WINDOW;
  #owed = 0;
  #wanted = false;
  #ended = false;
  #told = false;
  #stopped = false;

  constructor(options: { readonly push: (chunk: Buffer | null) => boolean; readonly grant: (bytes: number) => void }) {
    this.#push = options.push;
    this.#grant = options.grant;
  }

  /** Everything that will ever come is here. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The reader wants more. */
  pull(): void {
    this.#wanted = true;
    this.#deliver();
  }

  /** @throws FrameError beyond the window or the end */
  receive(payload: Buffer): void {
    if (this.#ended || payload.length === 0 || payload.length > this.#room) throw new FrameError("DATA beyond the credit or the end");
    this.#room -= payload.length;
    if (this.#stopped) return;
    this.#buffer.add(payload);
    this.#deliver();
  }

  /** @throws FrameError for a second end */
  end(): void {
    if (this.#ended) throw new FrameError("a second EOF");
    this.#ended = true;
    this.#deliver();
  }

  /** The reader is gone: what still comes is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#buffer.clear();
  }

  #deliver(): void {
    while (this.#wanted && !this.#stopped) {
      const chunk = this.#buffer.take();
      if (chunk === undefined) {
        if (!this.#ended || this.#told) return;
        this.#told = true;
        this.#push(null);
        return;
      }
      this.#consumed(chunk.length);
      this.#wanted = this.#push(chunk);
    }
  }

  /** Granted in halves of the window: the sender never waits for a reader that reads, and credits stay rare. */
  #consumed(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < WINDOW / 2 || this.#ended) return;
    const owed = this.#owed;
    this.#owed = 0;
    this.#room += owed;
    this.#grant(owed);
  }
}

type Done = (error?: Error | null) => void;

/** The bytes of one channel towards the sandbox: one write at a time, cut into frames, paused while there is no credit. */
export class Outbound {
  readonly #send: (chunk: Buffer, done: Done | undefined) => void;
  #credit = WINDOW;
  #chunk: Buffer | undefined;
  #done: Done | undefined;
  #stopped = false;
  #error: Error | undefined;

  constructor(send: (chunk: Buffer, done: Done | undefined) => void) {
    this.#send = send;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** As `_write` of a stream: `done` when the bytes have left this process. */
  write(chunk: Buffer, done: Done): void {
    if (this.#stopped || chunk.length === 0) {
      done(this.#error ?? null);
      return;
    }
    this.#chunk = chunk;
    this.#done = done;
    this.#pump();
  }

  /** @throws FrameError for more than the window */
  grant(bytes: number): void {
    if (bytes === 0 || bytes > WINDOW - this.#credit) throw new FrameError("more credit than the window");
    this.#credit += bytes;
    this.#pump();
  }

  /** Nothing is sent any more; a waiting write and later ones end with `error`, without one they are dropped. */
  stop(error?: Error): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#error = error;
    const done = this.#done;
    this.#chunk = undefined;
    this.#done = undefined;
    done?.(error ?? null);
  }

  #pump(): void {
    while (this.#chunk !== undefined && this.#credit > 0) {
      const bytes = Math.min(this.#chunk.length, this.#credit, MAX_DATA);
      const part = this.#chunk.subarray(0, bytes);
      this.#credit -= bytes;
      if (bytes < this.#chunk.length) {
        this.#chunk = this.#chunk.subarray(bytes);
        this.#send(part, undefined);
        continue;
      }
      const done = this.#done;
      this.#chunk = undefined;
      this.#done = undefined;
      this.#send(part, done);
    }
  }
}
