/** The data messages of one direction, in order; fragments are joined, control frames left out. Methods must not throw. */
export interface FrameSink {
  /** RSV1 was set: the message is compressed (RFC 7692 §6) */
  begin(isCompressed: boolean): void;
  /** unmasked bytes, in pieces; only valid during the call */
  data(bytes: Buffer): void;
  end(): void;
  /** unmasked payload of a control frame, in pieces, 125 bytes at most; absent: not wanted */
  control?(bytes: Buffer, isLast: boolean): void;
}

const CONTINUATION = 0;
const BINARY = 2;
const CLOSE = 8;
const PONG = 10;

/** the two first bytes, an eight byte length, a mask */
const MAX_HEADER = 14;

/**
 * Splits one direction of a WebSocket into messages (RFC 6455 §5.2): 7, 16 and 64 bit lengths, masked or not, fragmented, control
 * frames between fragments. Holds nothing but one frame header, however long a frame claims to be, and never changes the bytes it
 * is given. What no endpoint may send fails it, and it takes nothing more.
 */
export class FrameParser {
  readonly #sink: FrameSink;
  readonly #header = Buffer.allocUnsafe(MAX_HEADER);
  #headerBytes = 0;
  #left = 0;
  #isControl = false;
  #isClose = false;
  #mask: Buffer | null = null;
  #maskAt = 0;
  #isFinal = false;
  #inMessage = false;
  #inPayload = false;
  #failed = false;
  #closed = false;
  #consumed = 0;
  #boundary = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** a close frame came */
  get closed(): boolean {
    return this.#closed;
  }

  /** bytes up to the end of the last frame behind which a message may begin: what comes later belongs to one that is not complete */
  get boundary(): number {
    return this.#boundary;
  }

  /** bytes taken so far */
  get consumed(): number {
    return this.#consumed;
  }

  write(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#failed && !this.#closed) {
      if (!this.#inPayload) {
        const wanted = this.#headerLength();
        const taken = chunk.copy(this.#header, this.#headerBytes, at, at + wanted - this.#headerBytes);
        this.#headerBytes += taken;
        this.#consumed += taken;
        at += taken;
        if (this.#headerBytes === this.#headerLength()) this.#begin();
        continue;
      }
      const part = chunk.subarray(at, at + this.#left);
      at += part.length;
      this.#consumed += part.length;
      this.#left -= part.length;
      if (part.length > 0) this.#take(part);
      if (this.#left === 0) this.#end();
    }
  }

  #take(part: Buffer): void {
    if (!this.#isControl) this.#sink.data(this.#mask === null ? part : this.#unmasked(part));
    else if (this.#sink.control !== undefined) this.#sink.control(this.#mask === null ? part : this.#unmasked(part), this.#left === 0);
  }

  /** Known in full once the first two bytes are here. */
  #headerLength(): number {
    if (this.#headerBytes < 2) return 2;
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 0x80 ? 4 : 0);
  }

  #begin(): void {
    const first = this.#header[0] ?? 0;
    const second = this.#header[1] ?? 0;
    const opcode = first & 0x0f;
    const length = this.#payloadLength(second & 0x7f);
    this.#isFinal = (first & 0x80) !== 0;
    this.#isControl = opcode >= CLOSE;
    const isCompressed = (first & 0x40) !== 0;
    if (length === null || !this.#isSound(opcode, length, isCompressed, (first & 0x30) !== 0)) {
      this.#failed = true;
      return;
    }
    this.#left = length;
    this.#mask = second & 0x80 ? Buffer.from(this.#header.subarray(this.#headerBytes - 4, this.#headerBytes)) : null;
    this.#maskAt = 0;
    this.#headerBytes = 0;
    this.#inPayload = true;
    this.#isClose = opcode === CLOSE;
    if (!this.#isControl && opcode !== CONTINUATION) {
      this.#inMessage = true;
      this.#sink.begin(isCompressed);
    }
    if (length === 0) this.#end();
  }

  /** Null for a length that no message has. */
  #payloadLength(short: number): number | null {
    if (short < 126) return short;
    if (short === 126) return this.#header.readUInt16BE(2);
    const long = this.#header.readBigUInt64BE(2);
    return long > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(long);
  }

  #isSound(opcode: number, length: number, isCompressed: boolean, hasReserved: boolean): boolean {
    if (hasReserved) return false;
    if (this.#isControl) return opcode <= PONG && length < 126 && this.#isFinal && !isCompressed;
    if (opcode > BINARY) return false;
    // a continuation continues something, and nothing begins inside of a message; RSV1 stands on the first frame only
    return (opcode === CONTINUATION) === this.#inMessage && !(opcode === CONTINUATION && isCompressed);
  }

  #end(): void {
    this.#inPayload = false;
    if (this.#isClose) this.#closed = true;
    if (!this.#isControl && this.#isFinal) {
      this.#inMessage = false;
      this.#sink.end();
    }
    if (!this.#inMessage) this.#boundary = this.#consumed;
  }

  #unmasked(part: Buffer): Buffer {
    const mask = this.#mask ?? Buffer.alloc(4);
    const out = Buffer.allocUnsafe(part.length);
    let at = this.#maskAt;
    for (let i = 0; i < part.length; i += 1) {
      out[i] = (part[i] ?? 0) ^ (mask[at & 3] ?? 0);
      at += 1;
    }
    this.#maskAt = at & 3;
    return out;
  }
}
