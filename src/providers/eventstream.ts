import { crc32 } from "node:zlib";

/** One message of an AWS event stream. */
export type EventStreamMessage = {
  /** string headers by name: `:message-type`, `:event-type`, `:exception-type`, `:content-type` */
  readonly headers: ReadonlyMap<string, string>;
  readonly payload: Buffer;
};

/** Methods must not throw. */
export interface EventStreamSink {
  message(message: EventStreamMessage): void;
  /** a message larger than is kept; its bytes were skipped */
  skipped(): void;
}

/** total length, header length, CRC of both */
const PRELUDE = 12;
const TRAILER = 4;
/** the service's own limit is 24 MiB; a longer length is no event stream */
const MAX_MESSAGE = 24 * 1024 * 1024;
const MAX_HEADERS = 128 * 1024;
/** an ordinary message is below 64 KiB */
const KEPT_MAX = 2 * 1024 * 1024;
const STRING_HEADER = 7;
/** bytes of a header value by its type; bytes and strings carry their length */
const VALUE_BYTES: readonly number[] = [0, 0, 1, 2, 4, 8, -1, -1, 8, 16];

/**
 * Splits `application/vnd.amazon.eventstream` into messages and verifies both checksums of each. Holds at most one message, each
 * byte once, whatever lengths the other side claims; after a fault it takes nothing more.
 */
export class EventStreamParser {
  readonly #sink: EventStreamSink;
  readonly #prelude = Buffer.allocUnsafe(PRELUDE);
  #preludeBytes = 0;
  /** the open message behind its prelude, when it does not lie in one chunk */
  #held: Buffer | null = null;
  #heldBytes = 0;
  /** bytes of the open message that are still to come; 0 between messages */
  #left = 0;
  #skips = false;
  #failed = false;

  constructor(sink: EventStreamSink) {
    this.#sink = sink;
  }

  /** a checksum or a length was wrong */
  get failed(): boolean {
    return this.#failed;
  }

  /** a message was begun and has not ended */
  get open(): boolean {
    return this.#preludeBytes > 0;
  }

  write(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#failed) {
      if (this.#left === 0) {
        const taken = chunk.copy(this.#prelude, this.#preludeBytes, at, at + PRELUDE - this.#preludeBytes);
        this.#preludeBytes += taken;
        at += taken;
        if (this.#preludeBytes === PRELUDE) this.#begin();
        continue;
      }
      const part = chunk.subarray(at, at + this.#left);
      at += part.length;
      if (this.#skips) {
        this.#left -= part.length;
        if (this.#left === 0) this.#end(part);
      } else if (this.#held === null && part.length === this.#left) {
        this.#left = 0;
        this.#end(part);
      } else {
        this.#held ??= Buffer.allocUnsafe(this.#left);
        this.#heldBytes += part.copy(this.#held, this.#heldBytes);
        this.#left -= part.length;
        if (this.#left === 0) this.#end(this.#held);
      }
    }
  }

  #begin(): void {
    const total = this.#prelude.readUInt32BE(0);
    const headers = this.#prelude.readUInt32BE(4);
    const isSound =
      crc32(this.#prelude.subarray(0, 8)) === this.#prelude.readUInt32BE(8) &&
      total <= MAX_MESSAGE &&
      headers <= MAX_HEADERS &&
      total >= PRELUDE + headers + TRAILER;
    if (!isSound) {
      this.#failed = true;
      return;
    }
    this.#left = total - PRELUDE;
    this.#skips = total > KEPT_MAX;
  }

  #end(rest: Buffer): void {
    const skipped = this.#skips;
    this.#held = null;
    this.#heldBytes = 0;
    this.#preludeBytes = 0;
    this.#skips = false;
    if (skipped) {
      this.#sink.skipped();
      return;
    }
    const body = rest.subarray(0, rest.length - TRAILER);
    const headerBytes = this.#prelude.readUInt32BE(4);
    const headers = readHeaders(body.subarray(0, headerBytes));
    if (headers === null || crc32(body, crc32(this.#prelude)) !== rest.readUInt32BE(rest.length - TRAILER)) {
      this.#failed = true;
      return;
    }
    this.#sink.message({ headers, payload: body.subarray(headerBytes) });
  }
}

/** Null when a header runs past the end or has no known type. */
function readHeaders(bytes: Buffer): ReadonlyMap<string, string> | null {
  const headers = new Map<string, string>();
  let at = 0;
  while (at < bytes.length) {
    const nameBytes = bytes[at] ?? 0;
    const name = bytes.toString("utf8", at + 1, at + 1 + nameBytes);
    at += 1 + nameBytes;
    if (at >= bytes.length) return null;
    const type = bytes[at] ?? 0;
    at += 1;
    let valueBytes = VALUE_BYTES[type];
    if (valueBytes === undefined) return null;
    if (valueBytes < 0) {
      if (at + 2 > bytes.length) return null;
      valueBytes = bytes.readUInt16BE(at);
      at += 2;
    }
    if (at + valueBytes > bytes.length) return null;
    if (type === STRING_HEADER) headers.set(name, bytes.toString("utf8", at, at + valueBytes));
    at += valueBytes;
  }
  return headers;
}
