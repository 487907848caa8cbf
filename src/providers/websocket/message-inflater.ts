import { constants, inflateRawSync } from "node:zlib";

/** RFC 7692 §7.2.2: the sender left this off the end of every message. */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
const WINDOW = 32 * 1024;
/** of one message, as it came and inflated */
const MAX_IN = 4 * 1024 * 1024;
const MAX_OUT = 16 * 1024 * 1024;
/** deflate cannot pass 1032:1; JSON frames come nowhere near a hundred once there is more than a little of them */
const MAX_RATIO = 100;
const RATIO_FROM = 32 * 1024 * 1024;

export type Inflated = Buffer | "broken" | "too_large";

/**
 * Inflates the messages of one direction. The window is carried over as a dictionary, which is right with context takeover and
 * harmless without it: a sender that starts anew refers to nothing before. Synchronous, since frames are small and their order matters.
 */
export class MessageInflater {
  #parts: Buffer[] = [];
  #bytes = 0;
  #window: Buffer = Buffer.alloc(0);
  #in = 0;
  #out = 0;

  /** false when the message is too large to be kept */
  write(bytes: Buffer): boolean {
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_IN) {
      this.#parts = [];
      return false;
    }
    this.#parts.push(Buffer.from(bytes));
    return true;
  }

  end(): Inflated {
    const input = Buffer.concat([...this.#parts, TAIL]);
    this.#parts = [];
    this.#bytes = 0;
    let output: Buffer;
    try {
      output = inflateRawSync(input, {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: MAX_OUT,
        ...(this.#window.length === 0 ? {} : { dictionary: this.#window }),
      });
    } catch (error) {
      return (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE" ? "too_large" : "broken";
    }
    this.#in += input.length;
    this.#out += output.length;
    if (this.#out > RATIO_FROM && this.#out > this.#in * MAX_RATIO) return "too_large";
    this.#keepWindow(output);
    return output;
  }

  #keepWindow(output: Buffer): void {
    // copies: a slice would keep the whole message alive
    if (output.length >= WINDOW) this.#window = Buffer.from(output.subarray(output.length - WINDOW));
    else if (output.length > 0) this.#window = Buffer.concat([this.#window, output]).subarray(-WINDOW);
  }
}
