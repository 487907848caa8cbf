import { FrameParser, type FrameSink } from "../../providers/websocket/frame-parser.ts";
import type { Form } from "../../secrets/forms.ts";
import { type Needles, needlesOf } from "../../secrets/needles.ts";
import { StreamScan } from "../../secrets/scan.ts";

/** What a client's frames were refused for: a text that must not leave (its number), or bytes that cannot be looked into. */
export type FrameFault = { readonly text: number } | "unreadable";

/**
 * Looks for texts in what a client sends over a WebSocket: in messages, however they are cut into frames, and in control frames. No
 * compression was agreed on, so a frame that claims to be compressed is as unreadable as bytes that are no frame.
 */
export class FrameScan implements FrameSink {
  readonly #parser = new FrameParser(this);
  readonly #texts: readonly Form[];
  #message: StreamScan;
  #control: StreamScan | undefined;
  #fault: FrameFault | undefined;

  constructor(texts: readonly Form[]) {
    this.#texts = texts;
    this.#message = new StreamScan(texts);
  }

  /** Why these bytes must not go on; undefined when they may. */
  write(chunk: Buffer): FrameFault | undefined {
    // behind a close frame nothing may come (RFC 6455 §5.5.1)
    if (this.#parser.closed) return "unreadable";
    this.#parser.write(chunk);
    if (this.#parser.failed) this.#fault ??= "unreadable";
    return this.#fault;
  }

  begin(isCompressed: boolean): void {
    if (isCompressed) this.#fault ??= "unreadable";
    this.#message = new StreamScan(this.#texts);
  }

  data(bytes: Buffer): void {
    this.#found(this.#message.write(bytes));
  }

  control(bytes: Buffer, isLast: boolean): void {
    this.#control ??= new StreamScan(this.#texts);
    this.#found(this.#control.write(bytes));
    if (isLast) this.#control = undefined;
  }

  end(): void {
    this.#message = new StreamScan(this.#texts);
  }

  #found(text: number): void {
    if (text !== -1) this.#fault ??= { text };
  }
}

/** bytes that may wait for the rest of what could be a value; honest servers send the next fragment, not this much in between */
const MAX_HELD = 64 * 1024;

/**
 * Replaces texts by others of the same length in what a server sends over a WebSocket, also where a text runs over several frames of a
 * message. Frames keep their lengths. What could be the beginning of a text waits, with the frames behind it, until it is decided.
 */
export class FrameRedactor implements FrameSink {
  readonly #parser = new FrameParser(this);
  readonly #needles: Needles;
  readonly #onFound = (): void => {
    this.found += 1;
  };
  /** what was not passed on yet, in order; payloads below are views of it */
  #wire: Buffer[] = [];
  #wireBytes = 0;
  /** the end of the message so far: payload that may be the beginning of a text, and what came in this call */
  #payload: Buffer[] = [];
  /** payload of a control frame that is not here as a whole */
  readonly #control: Buffer[] = [];
  /** how many were replaced */
  found = 0;
  /** bytes that no server may send came: nothing more can be looked into */
  failed = false;
  /** called once, when it failed */
  onBroken: () => void = () => undefined;

  constructor(forms: readonly Form[]) {
    this.#needles = needlesOf(forms);
  }

  /** the bytes to pass on now */
  write(chunk: Buffer): readonly Buffer[] {
    if (this.failed) return [];
    const own = Buffer.from(chunk);
    this.#wire.push(own);
    this.#wireBytes += own.length;
    this.#parser.write(own);
    const held = this.#settle();
    if (this.#parser.failed || (held !== undefined && this.#wireBytes > MAX_HELD)) this.failed = true;
    if (this.failed) {
      this.onBroken();
      return [];
    }
    return this.#release(held);
  }

  begin(isCompressed: boolean): void {
    // it was not agreed on
    if (isCompressed) this.failed = true;
    this.#payload = [];
  }

  data(bytes: Buffer): void {
    this.#payload.push(bytes);
  }

  control(bytes: Buffer, isLast: boolean): void {
    this.#control.push(bytes);
    if (isLast) this.#replace(this.#control.splice(0));
  }

  end(): void {
    this.#replace(this.#payload);
    this.#payload = [];
  }

  /** Replaces what is complete, and keeps the payload that may go on: its first byte is what the wire is held from. */
  #settle(): Buffer | undefined {
    this.#replace(this.#payload);
    const payload = Buffer.concat(this.#payload);
    let wanted = payload.length - this.#needles.beginning(payload);
    const kept: Buffer[] = [];
    for (const piece of this.#payload.toReversed()) {
      if (wanted === 0) break;
      const part = piece.subarray(Math.max(0, piece.length - wanted));
      kept.unshift(part);
      wanted -= part.length;
    }
    this.#payload = kept;
    return kept[0] ?? this.#control[0];
  }

  #replace(pieces: readonly Buffer[]): void {
    const bytes = Buffer.concat(pieces);
    const clean = this.#needles.replace(bytes, this.#onFound);
    if (clean === bytes) return;
    let at = 0;
    for (const piece of pieces) {
      clean.copy(piece, 0, at, at + piece.length);
      at += piece.length;
    }
  }

  /** Everything before the first held byte, which is a view of one of the wire's pieces. */
  #release(held: Buffer | undefined): readonly Buffer[] {
    if (held === undefined) {
      this.#wireBytes = 0;
      return this.#wire.splice(0);
    }
    const at = this.#wire.findIndex((piece) => piece.buffer === held.buffer && contains(piece, held));
    const piece = this.#wire[at];
    if (piece === undefined) return [];
    const cut = held.byteOffset - piece.byteOffset;
    // what waits stays where it is: a server that sends byte by byte makes it many pieces
    const out = this.#wire.splice(0, at);
    if (cut > 0) {
      out.push(piece.subarray(0, cut));
      this.#wire[0] = piece.subarray(cut);
    }
    for (const { length } of out) this.#wireBytes -= length;
    return out;
  }
}

function contains(outer: Buffer, inner: Buffer): boolean {
  return inner.byteOffset >= outer.byteOffset && inner.byteOffset + inner.length <= outer.byteOffset + outer.length;
}

/** A server's close frame: 1008, the policy does not permit it (RFC 6455 §7.4.1). */
export function policyClose(reason: string): Buffer {
  // a control frame has 125 bytes, with the code; what is not ASCII could be cut inside of a character
  const text = Buffer.from(reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 123));
  return Buffer.concat([Buffer.from([0x88, text.length + 2, 1008 >> 8, 1008 & 0xff]), text]);
}
