import type { Duplex } from "node:stream";
import { AppError } from "../../base/error.ts";
import { type Channel, encodeFrame, encodeHeader, FRAME, type Frame, FrameDecoder, type FrameType, MAX_DATA } from "./frame.ts";

/** Control frames that init has not taken. They are small and answer to what it does, so this much means that it is stuck. */
const MAX_CONTROL_BYTES = 4 * 1024 * 1024;

/** Frames over one stream socket. Breaks once, for whatever reason came first, and then sends and delivers nothing. */
export class Link {
  readonly #channel: Duplex;
  readonly #decoder = new FrameDecoder({ maxPayload: MAX_DATA });
  readonly #onBreak: (error: AppError) => void;
  #controlBytes = 0;
  #broken: AppError | undefined;
  /** settles when the socket is closed; never rejects */
  readonly closed: Promise<void>;

  constructor(channel: Duplex, on: { readonly frame: (frame: Frame) => void; readonly break: (error: AppError) => void }) {
    this.#channel = channel;
    this.#onBreak = on.break;
    this.closed = new Promise((resolve) => {
      if (channel.closed) resolve();
      else channel.once("close", resolve);
    });
    channel.on("data", (chunk: Buffer) => {
      if (this.#broken !== undefined) return;
      try {
        this.#decoder.push(chunk, (frame) => {
          if (this.#broken === undefined) on.frame(frame);
        });
      } catch (error) {
        // a FrameError, or a fault of ours while handling hostile input: either way this sandbox is over, and only this one
        this.break(new AppError("SANDBOX_ENDED", "the sandbox's init broke the protocol", { cause: error }));
      }
    });
    channel.once("end", () => this.break(new AppError("SANDBOX_ENDED", "the sandbox has ended")));
    channel.once("close", () => this.break(new AppError("SANDBOX_ENDED", "the sandbox has ended")));
    channel.on("error", (error) => this.break(new AppError("SANDBOX_ENDED", "the connection to the sandbox broke", { cause: error })));
    // an init that ended before anybody listened is not told again
    if (channel.readableEnded || channel.destroyed)
      queueMicrotask(() => this.break(new AppError("SANDBOX_ENDED", "the sandbox has ended")));
  }

  get broken(): AppError | undefined {
    return this.#broken;
  }

  /** A small frame. */
  control(type: FrameType, channel: Channel, stream: number, payload?: Uint8Array): void {
    if (this.#broken !== undefined) return;
    const frame = encodeFrame(type, channel, stream, payload);
    this.#controlBytes += frame.length;
    if (this.#controlBytes > MAX_CONTROL_BYTES) {
      this.break(new AppError("SANDBOX_ENDED", "the sandbox's init no longer reads"));
      return;
    }
    this.#channel.write(frame, () => {
      this.#controlBytes -= frame.length;
    });
  }

  /** DATA; `done` when it has left this process. The caller bounds it by credit. */
  data(channel: Channel, stream: number, chunk: Buffer, done: ((error?: Error | null) => void) | undefined): void {
    if (this.#broken !== undefined) {
      done?.(this.#broken);
      return;
    }
    this.#channel.cork();
    this.#channel.write(encodeHeader(FRAME.data, channel, stream, chunk.length));
    this.#channel.write(chunk, done);
    this.#channel.uncork();
  }

  /** A frame of up to 1 MiB, sent when the socket has room: any number may wait. */
  async large(type: FrameType, stream: number, payload: Buffer): Promise<void> {
    while (this.#broken === undefined && this.#channel.writableNeedDrain) {
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          this.#channel.off("drain", settle);
          this.#channel.off("close", settle);
          resolve();
        };
        this.#channel.on("drain", settle);
        this.#channel.on("close", settle);
      });
    }
    if (this.#broken !== undefined) throw this.#broken;
    this.#channel.write(encodeFrame(type, 0, stream, payload));
  }

  /** Ends it at once; init kills everything when the socket closes. */
  break(error: AppError): void {
    if (this.#broken !== undefined) return;
    this.#broken = error;
    this.#channel.destroy();
    this.#onBreak(error);
  }
}
