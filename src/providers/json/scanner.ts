import { KeyMatcher } from "./key-matcher.ts";
import type { PathNode } from "./paths.ts";

/** What the scanner found, in document order. Methods must not throw. */
export interface JsonSink {
  /** asked before a value is kept; false skips it */
  wants(slot: string): boolean;
  /** `start` and `end` are byte offsets since the last reset, `end` exclusive */
  value(slot: string, value: unknown, start: number, end: number): void;
  /** a wanted value was larger than the cap, or not JSON */
  dropped(slot: string): void;
  text(slot: string, bytes: number): void;
  /** `first` is the value's first byte */
  enter(slot: string, first: number): void;
  /** a key that equals this slot's key but for its case */
  variant(slot: string): void;
  /** a key that no path names, where the tree asks for those */
  other(): void;
}

export type ScanResult = "complete" | "empty" | "incomplete" | "failed";

const VALUE = 0;
const FIRST_ELEMENT = 1;
const FIRST_KEY = 2;
const NEXT_KEY = 3;
const COLON = 4;
const AFTER = 5;
const STRING = 6;
const STRING_ESCAPE = 7;
const KEY = 8;
const KEY_ESCAPE = 9;
const SCALAR = 10;
const DONE = 11;
const FAILED = 12;

const MAX_DEPTH = 4096;
/** bytes looked at one by one before a native search takes over */
const SHORT = 48;

/** Bytes that a number or literal may hold; NaN and Infinity pass, since Python writes and reads them. */
const SCALAR_BYTES = new Uint8Array(256);
for (const byte of Buffer.from("0123456789+-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) SCALAR_BYTES[byte] = 1;
const SCALAR_START = new Uint8Array(256);
for (const byte of Buffer.from("0123456789-tfnNI")) SCALAR_START[byte] = 1;

/**
 * Reads one JSON document in pieces of any size and hands out the values at the paths of a tree; memory is bounded by `cap`,
 * the deepest path and the nesting limit, whatever the document's size. It checks structure (brackets, commas, colons, quotes)
 * and is lenient inside strings and numbers: a document that JSON.parse takes is `complete` here, not always the reverse.
 */
export class JsonScanner {
  #root: PathNode;
  #sink: JsonSink;
  #cap: number;
  readonly #matcher = new KeyMatcher();
  #state = VALUE;
  #started = false;
  #abandoned = false;
  /** bytes before the current write */
  #offset = 0;
  #depth = 0;
  #isObject = new Uint8Array(64);
  /** containers 1..#tracked are on a path; #nodes[d] belongs to the container at depth d */
  #tracked = 0;
  readonly #nodes: (PathNode | null)[] = [];
  /** node of the value that comes next */
  #pending: PathNode | null;
  #textSlot: string | null = null;
  #textBytes = 0;
  #captureSlot: string | null = null;
  #captureDepth = 0;
  #captureStart = 0;
  #captured: Buffer[] = [];
  #capturedBytes = 0;

  constructor(root: PathNode, sink: JsonSink, cap: number) {
    this.#root = root;
    this.#sink = sink;
    this.#cap = cap;
    this.#pending = root;
  }

  get done(): boolean {
    return this.#state === DONE;
  }

  get failed(): boolean {
    return this.#state === FAILED;
  }

  /** For the next document, which may be another one's. */
  reset(root = this.#root, sink = this.#sink, cap = this.#cap): void {
    this.#root = root;
    this.#sink = sink;
    this.#cap = cap;
    this.#state = VALUE;
    this.#started = false;
    this.#abandoned = false;
    this.#offset = 0;
    this.#depth = 0;
    this.#tracked = 0;
    this.#pending = root;
    this.#textSlot = null;
    this.#captureSlot = null;
    if (this.#captured.length > 0) this.#captured = [];
    this.#capturedBytes = 0;
    this.#matcher.reset();
  }

  /** Called by the sink when it knows enough: the document counts as failed and its rest is not looked at. */
  abandon(): void {
    this.#abandoned = true;
  }

  /** At the end of the document. A number at the top level ends here. */
  finish(): ScanResult {
    if (this.#state === SCALAR && this.#depth === 0) this.#state = DONE;
    if (this.#state === DONE) return "complete";
    if (this.#state === FAILED) return "failed";
    return this.#started ? "incomplete" : "empty";
  }

  /** Reads `buffer[from, to)` and returns the index it stopped at: `to`, or the byte after a finished document or a fault. */
  write(buffer: Buffer, from: number, to: number): number {
    if (this.#state === FAILED) return from;
    if (this.#state === DONE) return this.#afterEnd(buffer, from, to);
    let i = from;
    let state = this.#state;
    const base = this.#offset - from;
    let captureFrom = this.#captureSlot === null ? -1 : from;
    let textFrom = from;
    scan: while (i < to) {
      switch (state) {
        case STRING: {
          i = this.#skipString(buffer, i, to);
          if (i >= to) break scan;
          if (buffer[i] === 0x5c) {
            i += 1;
            state = STRING_ESCAPE;
            break;
          }
          if (this.#textSlot !== null) {
            this.#sink.text(this.#textSlot, this.#textBytes + i - textFrom);
            this.#textSlot = null;
          }
          i += 1;
          if (this.#captureSlot !== null && this.#depth === this.#captureDepth) {
            this.#endCapture(buffer, captureFrom, i, base);
            captureFrom = -1;
          }
          state = this.#depth === 0 ? DONE : AFTER;
          if (state === DONE) break scan;
          break;
        }
        case STRING_ESCAPE:
          i += 1;
          state = STRING;
          break;
        case KEY: {
          const at = this.#depth === this.#tracked ? this.#matcher.read(buffer, i, to) : this.#skipString(buffer, i, to);
          i = at;
          if (i >= to) break scan;
          if (buffer[i] === 0x5c) {
            if (this.#depth === this.#tracked) this.#matcher.escape(0x5c);
            i += 1;
            state = KEY_ESCAPE;
            break;
          }
          i += 1;
          this.#pending = this.#depth === this.#tracked ? this.#matchKey() : null;
          state = this.#abandoned ? FAILED : COLON;
          if (state === FAILED) break scan;
          break;
        }
        case KEY_ESCAPE:
          if (this.#depth === this.#tracked) this.#matcher.escape(buffer[i] ?? 0);
          i += 1;
          state = KEY;
          break;
        case SCALAR: {
          while (i < to && SCALAR_BYTES[buffer[i] ?? 0] === 1) i += 1;
          if (i >= to) break scan;
          if (this.#captureSlot !== null && this.#depth === this.#captureDepth) {
            this.#endCapture(buffer, captureFrom, i, base);
            captureFrom = -1;
          }
          state = this.#depth === 0 ? DONE : AFTER;
          if (state === DONE) break scan;
          break;
        }
        default: {
          const byte = buffer[i] ?? 0;
          if (isSpace(byte)) {
            i += 1;
            break;
          }
          if (state === COLON) {
            state = byte === 0x3a ? VALUE : FAILED;
          } else if (state === AFTER) {
            if (byte === 0x2c) {
              const inObject = this.#isObject[this.#depth] === 1;
              state = inObject ? NEXT_KEY : VALUE;
              if (!inObject) this.#pending = this.#elementNode();
            } else if (byte === (this.#isObject[this.#depth] === 1 ? 0x7d : 0x5d)) {
              state = this.#close();
              if (this.#captureSlot !== null && this.#depth === this.#captureDepth) {
                this.#endCapture(buffer, captureFrom, i + 1, base);
                captureFrom = -1;
              }
            } else {
              state = FAILED;
            }
          } else if (state === FIRST_KEY || state === NEXT_KEY) {
            if (byte === 0x22) {
              state = KEY;
              if (this.#depth === this.#tracked) this.#matcher.reset();
            } else if (byte === 0x7d && state === FIRST_KEY) {
              state = this.#close();
              if (this.#captureSlot !== null && this.#depth === this.#captureDepth) {
                this.#endCapture(buffer, captureFrom, i + 1, base);
                captureFrom = -1;
              }
            } else {
              state = FAILED;
            }
          } else if (state === FIRST_ELEMENT && byte === 0x5d) {
            state = this.#close();
            if (this.#captureSlot !== null && this.#depth === this.#captureDepth) {
              this.#endCapture(buffer, captureFrom, i + 1, base);
              captureFrom = -1;
            }
          } else if (state === VALUE || state === FIRST_ELEMENT) {
            this.#started = true;
            const node = this.#pending;
            if (node !== null && node.slot !== null && this.#beginValue(node, node.slot, byte, base + i)) captureFrom = i;
            if (this.#abandoned) {
              state = FAILED;
            } else if (byte === 0x22) {
              state = STRING;
              textFrom = i + 1;
              this.#textBytes = 0;
            } else if (byte === 0x7b || byte === 0x5b) {
              state = this.#open(byte === 0x7b, node);
            } else {
              state = SCALAR_START[byte] === 1 ? SCALAR : FAILED;
            }
          }
          if (state === FAILED) break scan;
          i += 1;
          if (state === DONE) break scan;
        }
      }
    }
    this.#state = state;
    if (state === STRING || state === STRING_ESCAPE) this.#textBytes += i - textFrom;
    if (this.#captureSlot !== null && captureFrom >= 0) this.#keep(buffer, captureFrom, i);
    this.#offset += i - from;
    return i;
  }

  /** Behind a finished document only white space may stand. */
  #afterEnd(buffer: Buffer, from: number, to: number): number {
    for (let i = from; i < to; i += 1) {
      if (isSpace(buffer[i] ?? 0)) continue;
      this.#state = FAILED;
      return i;
    }
    return to;
  }

  /** Index of the next quote or of a backslash before it; `to` when there is neither. */
  #skipString(buffer: Buffer, from: number, to: number): number {
    let i = from;
    const short = Math.min(to, from + SHORT);
    for (; i < short; i += 1) {
      const byte = buffer[i];
      if (byte === 0x22 || byte === 0x5c) return i;
    }
    if (i >= to) return to;
    let quote = buffer.indexOf(0x22, i);
    if (quote < 0 || quote > to) quote = to;
    // only the run of backslashes right before the quote decides whether it is escaped
    let run = quote;
    while (run > i && buffer[run - 1] === 0x5c) run -= 1;
    return (quote - run) % 2 === 1 ? quote - 1 : quote;
  }

  #beginValue(node: PathNode, slot: string, first: number, offset: number): boolean {
    switch (node.action) {
      case "value":
        if (this.#captureSlot !== null || !this.#sink.wants(slot)) return false;
        this.#captureSlot = slot;
        this.#captureDepth = this.#depth;
        this.#captureStart = offset;
        this.#captured = [];
        this.#capturedBytes = 0;
        return true;
      case "text":
        if (first === 0x22) this.#textSlot = slot;
        return false;
      case "enter":
        this.#sink.enter(slot, first);
        return false;
      case null:
        return false;
      default:
        return node.action satisfies never;
    }
  }

  #open(isObject: boolean, node: PathNode | null): number {
    if (this.#depth + 1 >= MAX_DEPTH) return FAILED;
    const wasTracked = this.#depth === this.#tracked;
    this.#depth += 1;
    if (this.#depth >= this.#isObject.length) {
      const grown = new Uint8Array(this.#isObject.length * 2);
      grown.set(this.#isObject);
      this.#isObject = grown;
    }
    this.#isObject[this.#depth] = isObject ? 1 : 0;
    const leadsOn = node !== null && (isObject ? node.byName.size > 0 || node.reportsOthers : node.element !== null || node.unwrapsArray);
    if (wasTracked && leadsOn) {
      this.#tracked = this.#depth;
      this.#nodes[this.#depth] = node;
    }
    if (!isObject) this.#pending = this.#elementNode();
    return isObject ? FIRST_KEY : FIRST_ELEMENT;
  }

  #close(): number {
    if (this.#depth === this.#tracked) this.#tracked -= 1;
    this.#depth -= 1;
    return this.#depth === 0 ? DONE : AFTER;
  }

  #elementNode(): PathNode | null {
    if (this.#depth !== this.#tracked) return null;
    const node = this.#nodes[this.#depth] ?? null;
    if (node === null) return null;
    return this.#depth === 1 && node.unwrapsArray ? this.#root : node.element;
  }

  #matchKey(): PathNode | null {
    const node = this.#nodes[this.#depth] ?? null;
    if (node === null) return null;
    const match = this.#matcher.match(node);
    if (match.node === null && node.reportsOthers) this.#sink.other();
    if (match.variantOf !== null) this.#sink.variant(match.variantOf);
    return match.node;
  }

  #keep(buffer: Buffer, from: number, to: number): void {
    this.#capturedBytes += to - from;
    if (this.#capturedBytes > this.#cap) this.#captured = [];
    // a copy: a slice would keep the whole chunk alive
    else if (to > from) this.#captured.push(Buffer.from(buffer.subarray(from, to)));
  }

  #endCapture(buffer: Buffer, from: number, to: number, base: number): void {
    const slot = this.#captureSlot;
    this.#captureSlot = null;
    if (slot === null) return;
    if (this.#capturedBytes + to - from > this.#cap) {
      this.#captured = [];
      this.#sink.dropped(slot);
      return;
    }
    // most chunks of a stream say `"usage":null`
    if (to - from === 4 && buffer[from] === 0x6e && this.#captured.length === 0)
      return this.#sink.value(slot, null, this.#captureStart, base + to);
    let text = buffer.toString("utf8", from, to);
    if (this.#captured.length > 0) {
      text = Buffer.concat([...this.#captured, buffer.subarray(from, to)]).toString("utf8");
      this.#captured = [];
    }
    let value: unknown = null;
    if (text !== "null") {
      try {
        value = JSON.parse(text);
      } catch {
        this.#sink.dropped(slot);
        return;
      }
    }
    this.#sink.value(slot, value, this.#captureStart, base + to);
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
