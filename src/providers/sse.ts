/** What an event stream is made of, as byte ranges of the chunk that was written. Methods must not throw. */
export interface SseSink {
  /** a field line or comment begins at `start`, an index into this chunk */
  line(start: number): void;
  /** the kind of the line is known */
  field(kind: SseField): void;
  /** bytes of a data line's value, in pieces */
  data(buffer: Buffer, from: number, to: number): void;
  /** a data line ended */
  dataEnd(): void;
  /** a blank line ended the event; `end` is the index after it. A CR at a chunk's end counts at once, its LF is not reported again. */
  event(end: number): void;
}

export type SseField = "data" | "event" | "comment" | "other";

const BOM = [0xef, 0xbb, 0xbf];
const CR = 0x0d;
const LF = 0x0a;

const LINE_START = 0;
const NAME = 1;
const SPACE = 2;
const DATA = 3;
const SKIP = 4;

/**
 * Splits an event stream into lines and fields, on bytes, in every form the WHATWG specification permits (CR, LF, CRLF, BOM,
 * `data:` with and without a space, fields without a colon, comments). Holds nothing but its state, however long a line is.
 */
export class SseParser {
  readonly #sink: SseSink;
  #state = LINE_START;
  #bom = 0;
  #afterCr = false;
  /** first characters of the field name */
  #name = "";

  constructor(sink: SseSink) {
    this.#sink = sink;
  }

  /** true when the last byte written was a CR whose LF may still come */
  get afterCr(): boolean {
    return this.#afterCr;
  }

  write(buffer: Buffer): void {
    const length = buffer.length;
    let i = 0;
    let nextCr = -2;
    while (this.#bom < 3 && i < length) {
      if (buffer[i] !== BOM[this.#bom]) {
        this.#bom = 3;
        break;
      }
      this.#bom += 1;
      i += 1;
    }
    while (i < length) {
      if (this.#afterCr) {
        this.#afterCr = false;
        if (buffer[i] === LF) {
          i += 1;
          continue;
        }
      }
      switch (this.#state) {
        case LINE_START: {
          const byte = buffer[i];
          if (byte === LF || byte === CR) {
            i += 1;
            this.#afterCr = byte === CR;
            // the LF of a CRLF belongs to the blank line, when it is already here
            if (byte === CR && i < length) {
              this.#afterCr = false;
              if (buffer[i] === LF) i += 1;
            }
            this.#sink.event(i);
            break;
          }
          this.#sink.line(i);
          if (startsWithData(buffer, i)) {
            this.#sink.field("data");
            this.#state = SPACE;
            i += 5;
            break;
          }
          this.#name = "";
          this.#state = NAME;
          break;
        }
        case NAME: {
          const byte = buffer[i] ?? 0;
          if (byte === 0x3a) {
            this.#state = this.#named(this.#name) ? SPACE : SKIP;
            i += 1;
          } else if (byte === LF || byte === CR) {
            // a field without a colon has an empty value
            if (this.#named(this.#name)) this.#sink.dataEnd();
            this.#endLine(byte);
            i += 1;
          } else {
            if (this.#name.length < 6) this.#name += String.fromCharCode(byte);
            i += 1;
          }
          break;
        }
        case SPACE:
          if (buffer[i] === 0x20) i += 1;
          this.#state = DATA;
          break;
        default: {
          let end = buffer.indexOf(LF, i);
          if (end < 0) end = length;
          if (nextCr !== -1 && nextCr < i) nextCr = buffer.indexOf(CR, i);
          if (nextCr >= 0 && nextCr < end) end = nextCr;
          if (this.#state === DATA) {
            if (end > i) this.#sink.data(buffer, i, end);
            if (end < length) this.#sink.dataEnd();
          }
          if (end < length) this.#endLine(buffer[end] ?? LF);
          i = end + 1;
        }
      }
    }
  }

  #endLine(byte: number): void {
    this.#afterCr = byte === CR;
    this.#state = LINE_START;
  }

  /** true for a data field */
  #named(name: string): boolean {
    this.#sink.field(name === "data" ? "data" : name === "event" ? "event" : name === "" ? "comment" : "other");
    return name === "data";
  }
}

function startsWithData(buffer: Buffer, i: number): boolean {
  return (
    i + 5 <= buffer.length &&
    buffer[i] === 0x64 &&
    buffer[i + 1] === 0x61 &&
    buffer[i + 2] === 0x74 &&
    buffer[i + 3] === 0x61 &&
    buffer[i + 4] === 0x3a
  );
}
