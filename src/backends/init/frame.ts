/** The frames between the host and the init inside a sandbox. Pure: no socket, no clock. See docs/reference/init-protocol.md. */

export const PROTOCOL_VERSION = 1;
export const HEADER_BYTES = 12;
/** largest payload of any frame, bytes */
export const MAX_PAYLOAD = 1024 * 1024;
/** largest payload of DATA, bytes */
export const MAX_DATA = 64 * 1024;
/** bytes that may be under way per stream and direction before the receiver grants more */
export const WINDOW = 256 * 1024;

export const FRAME = {
  hello: 1,
  exec: 2,
  dial: 3,
  data: 4,
  eof: 5,
  credit: 6,
  reset: 7,
  signal: 8,
  resize: 9,
  started: 10,
  failed: 11,
  exit: 12,
  closed: 13,
  shutdown: 14,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** `in` is towards the sandbox (stdin), `out` and `err` from it. */
export const CHANNEL = { in: 0, out: 1, err: 2 } as const;

export type Channel = (typeof CHANNEL)[keyof typeof CHANNEL];

export type Frame = {
  /** any byte: whoever takes it decides what an unknown type means */
  readonly type: number;
  readonly channel: number;
  /** 0 for frames about the connection */
  readonly stream: number;
  /** may share memory with the chunk it came in */
  readonly payload: Buffer;
};

/** The other side broke the protocol. There is no way to go on after it. */
export class FrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FrameError";
  }
}

/** The 12 bytes before a payload. */
export function encodeHeader(type: FrameType, channel: Channel, stream: number, payloadBytes: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(payloadBytes, 0);
  header[4] = type;
  header[5] = channel;
  header.writeUInt16BE(0, 6);
  header.writeUInt32BE(stream, 8);
  return header;
}

/** A whole frame in one buffer. */
export function encodeFrame(type: FrameType, channel: Channel, stream: number, payload?: Uint8Array): Buffer {
  const header = encodeHeader(type, channel, stream, payload?.length ?? 0);
  return payload === undefined ? header : Buffer.concat([header, payload]);
}

/**
 * Turns chunks of any size into frames. Holds at most one unfinished frame, so at most a header and `maxPayload` bytes
 * beyond the chunk at hand.
 */
export class FrameDecoder {
  readonly #maxPayload: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #payload: Buffer | undefined;
  #payloadBytes = 0;

  constructor(options: { readonly maxPayload: number }) {
    this.#maxPayload = options.maxPayload;
  }

  /** Bytes held of an unfinished frame. */
  get pending(): number {
    return this.#headerBytes + this.#payloadBytes;
  }

  /**
   * Calls `take` for each frame that the chunk completes, in order.
   * @throws FrameError for a header that cannot be one, and whatever `take` throws
   */
  push(chunk: Buffer, take: (frame: Frame) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < HEADER_BYTES) {
        const part = chunk.copy(this.#header, this.#headerBytes, at, at + HEADER_BYTES - this.#headerBytes);
        this.#headerBytes += part;
        at += part;
        if (this.#headerBytes < HEADER_BYTES) return;
        const length = this.#checkHeader();
        if (chunk.length - at >= length) {
          this.#finish(chunk.subarray(at, at + length), take);
          at += length;
          continue;
        }
        this.#payload = Buffer.allocUnsafeSlow(length);
        this.#payloadBytes = 0;
      }
      const payload = this.#payload;
      if (payload === undefined) continue;
      const part = chunk.copy(payload, this.#payloadBytes, at);
      this.#payloadBytes += part;
      at += part;
      if (this.#payloadBytes === payload.length) this.#finish(payload, take);
    }
  }

  #checkHeader(): number {
    const length = this.#header.readUInt32BE(0);
    if (length > this.#maxPayload) throw new FrameError(`a frame of ${length} bytes, ${this.#maxPayload} are permitted`);
    if (this.#header.readUInt16BE(6) !== 0) throw new FrameError("reserved bytes of a frame header are not zero");
    return length;
  }

  #finish(payload: Buffer, take: (frame: Frame) => void): void {
    const header = this.#header;
    this.#headerBytes = 0;
    this.#payload = undefined;
    this.#payloadBytes = 0;
    take({ type: header[4] ?? 0, channel: header[5] ?? 0, stream: header.readUInt32BE(8), payload });
  }
}
