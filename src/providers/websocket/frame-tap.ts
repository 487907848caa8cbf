import { asBuffer } from "../decode/body-decoder.ts";
import { JsonScanner, type JsonSink } from "../json/scanner.ts";
import type { PathNode } from "../json/paths.ts";
import { SOCKETS } from "../shapes/sockets.ts";
import type { Recognition } from "../types.ts";
import { cutOutcome, requestFactsOf, responseFactsOf } from "./call-facts.ts";
import { FrameParser, type FrameSink } from "./frame-parser.ts";
import { MessageInflater } from "./message-inflater.ts";
import { FrameHold } from "./frame-hold.ts";
import type { Found, SocketAsk, SocketCall, SocketEnd, SocketSession, SocketShape } from "./session.ts";

/** Reads the model calls out of a WebSocket as its bytes pass in both directions; bounded memory, never throws, changes nothing. */
export interface FrameTap {
  /** Bytes that the client sent behind its handshake; gives those that may go on now, in order: all of them, while nobody limits calls. */
  fromClient(chunk: Uint8Array): readonly Uint8Array[];
  /** bytes that the server sent behind its 101 */
  fromServer(chunk: Uint8Array): void;
  /**
   * Bytes that the server has sent behind the last place where a frame of ours may stand: 0 between messages; null where nobody knows
   * such places any more.
   */
  readonly serverOverhang: number | null;
  /** one of the two said goodbye, as the protocol has it: the socket did not break off */
  readonly wasClosed: boolean;
  /** Reports what is still open. `complete`: both sides closed; `aborted`: the client left; `error`: the upstream broke off. */
  end(how: SocketEnd): void;
}

/** Decides over the calls of a WebSocket. Methods must not throw. */
export interface SocketJudge {
  /** Are calls limited now? Then a message of the client is held until it is complete and was judged. */
  readonly isActive: boolean;
  /** the client asks for something; false: the message does not pass, and nothing behind it does. `bytes`: of the message, inflated */
  asked(ask: SocketAsk, bytes: number): boolean;
  /** a message of the client does not pass, because nobody can tell what it asks for, or what it uses */
  unreadable(reason: string): void;
}

export type FrameTapOptions = {
  /** `Sec-WebSocket-Extensions` of the 101, as sent */
  readonly extensions?: string | undefined;
  /** one model call is over, while the socket goes on; must not throw */
  readonly onCall: (call: SocketCall) => void;
  /** absent: every call passes */
  readonly judge?: SocketJudge;
  /** bytes of one message that may be held; default 16 MiB */
  readonly holdBytes?: number;
};

/** Null for what has no calls in its frames. */
export function createFrameTap(recognition: Recognition, options: FrameTapOptions): FrameTap | null {
  const shape = recognition.webSocket === undefined ? undefined : SOCKETS[recognition.shape];
  return shape === undefined ? null : new SocketTap(recognition, options, shape);
}

/** A WebSocket's use has no end before the socket's: nothing of it can be reserved call by call. */
export function isOneCall({ shape }: Recognition): boolean {
  return SOCKETS[shape]?.isOneCall === true;
}

const HOLD_BYTES = 16 * 1024 * 1024;

class SocketTap implements FrameTap {
  readonly #recognition: Recognition;
  readonly #onCall: (call: SocketCall) => void;
  readonly #judge: SocketJudge | null;
  readonly #holdBytes: number;
  readonly #session: SocketSession;
  readonly #client: Direction;
  readonly #server: Direction;
  readonly #hold = new FrameHold();
  /** position in the client's bytes from which on nothing passes any more */
  #refusedFrom: number | null = null;
  #ended = false;

  constructor(recognition: Recognition, options: FrameTapOptions, shape: SocketShape) {
    this.#recognition = recognition;
    this.#onCall = options.onCall;
    this.#judge = options.judge ?? null;
    this.#holdBytes = options.holdBytes ?? HOLD_BYTES;
    this.#session = shape.open({
      provider: recognition.provider,
      operation: recognition.operation,
      model: recognition.model ?? null,
      emit: options.onCall,
    });
    const mayCompress = inflatable(options.extensions);
    this.#client = new Direction(shape.client, mayCompress, {
      message: (message, bytes) => this.#asks(message, bytes),
      unreadable: () => this.#unreadable("a message that is no JSON cannot be held against the limits of model calls"),
    });
    this.#server = new Direction(shape.server, mayCompress, {
      message: (message) => this.#session.server(message),
      unreadable: () => undefined,
    });
  }

  get serverOverhang(): number | null {
    return this.#server.fault === null ? this.#server.overhang : null;
  }

  get wasClosed(): boolean {
    return this.#server.closed || this.#client.closed;
  }

  fromClient(chunk: Uint8Array): readonly Uint8Array[] {
    if (this.#ended || this.#refusedFrom !== null) return [];
    const isHeld = this.#judge?.isActive ?? false;
    const bytes = asBuffer(chunk);
    this.#hold.push(bytes);
    this.#client.write(bytes);
    if (isHeld) this.#doubt();
    const released = this.#hold.release(this.#refusedFrom ?? (isHeld ? this.#client.boundary : Number.POSITIVE_INFINITY));
    if (this.#refusedFrom !== null || this.#client.closed) this.#hold.clear();
    return released;
  }

  fromServer(chunk: Uint8Array): void {
    if (!this.#ended) this.#server.write(asBuffer(chunk));
  }

  end(how: SocketEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hold.clear();
    this.#session.end(how);
    const missing = this.#server.fault ?? this.#client.fault;
    if (missing === null) return;
    // whatever was used behind the fault is unknown, and says so
    const { operation, model } = this.#recognition;
    const outcome = how === "complete" ? "ok" : cutOutcome(how);
    const response = responseFactsOf(null, { missing, outcome });
    this.#onCall({ operation, request: requestFactsOf({ model: model ?? null }), response, wasAsked: false });
  }

  #asks(message: Found, bytes: number): void {
    // what two readers read differently would be judged as one thing and served as another
    if (message.isAmbiguous) this.#unreadable("a message names the same key twice, and nobody can tell which one counts");
    for (const ask of this.#session.client(message)) {
      if (this.#refusedFrom !== null) return;
      if (this.#judge?.asked(ask, bytes) !== false) continue;
      this.#refusedFrom = this.#client.boundary;
      if (ask.kind === "call" && ask.fault === undefined) this.#session.withdrawn();
    }
  }

  /** Nothing may pass that is not understood, in either direction: the answers are what calls are counted by. */
  #doubt(): void {
    if (this.#client.fault !== null) this.#unreadable("the frames of this WebSocket cannot be read");
    else if (this.#server.fault !== null) this.#unreadable("the answers in this WebSocket cannot be read");
    else if (this.#hold.bytes > this.#holdBytes) this.#unreadable("a message is too large to be held against the limits of model calls");
  }

  #unreadable(reason: string): void {
    if (this.#refusedFrom !== null || this.#judge === null || !this.#judge.isActive) return;
    this.#refusedFrom = this.#client.boundary;
    this.#judge.unreadable(reason);
  }
}

interface MessageSink {
  /** `bytes`: of the message, inflated */
  message(message: Found, bytes: number): void;
  /** it is no JSON */
  unreadable(): void;
}

type Fault = "unparsable" | "ws_compressed" | "tap_overflow";

/** a usage object with its details is below 4 KiB */
const VALUE_CAP = 64 * 1024;

/** One direction: frames to messages, messages to what they hold. Text and binary are the same, Gemini Live sends JSON as binary. */
class Direction implements FrameSink, JsonSink {
  readonly #parser = new FrameParser(this);
  readonly #scanner: JsonScanner;
  readonly #inflater: MessageInflater | null;
  readonly #sink: MessageSink;
  #values = new Map<string, unknown>();
  #textBytes = 0;
  #bytes = 0;
  #isAmbiguous = false;
  #isCompressed = false;
  #fault: Fault | null = null;

  constructor(paths: PathNode, mayCompress: boolean, sink: MessageSink) {
    this.#scanner = new JsonScanner(paths, this, VALUE_CAP);
    this.#inflater = mayCompress ? new MessageInflater() : null;
    this.#sink = sink;
  }

  /** why nothing more can be read; null while all is well */
  get fault(): Fault | null {
    return this.#fault ?? (this.#parser.failed ? "unparsable" : null);
  }

  /** it ended with a goodbye: nothing counts that comes behind it */
  get closed(): boolean {
    return this.#parser.closed;
  }

  /** end of the last frame behind which a message may begin */
  get boundary(): number {
    return this.#parser.boundary;
  }

  /** bytes behind that place */
  get overhang(): number {
    return this.#parser.consumed - this.#parser.boundary;
  }

  write(chunk: Buffer): void {
    if (this.#fault === null) this.#parser.write(chunk);
  }

  begin(isCompressed: boolean): void {
    this.#isCompressed = isCompressed;
    // an extension that nobody agreed on, or that we do not know
    if (isCompressed && this.#inflater === null) this.#fault ??= "ws_compressed";
    this.#values = new Map();
    this.#textBytes = 0;
    this.#bytes = 0;
    this.#isAmbiguous = false;
    this.#scanner.reset();
  }

  data(bytes: Buffer): void {
    if (this.#fault !== null) return;
    if (!this.#isCompressed) this.#scan(bytes);
    else if (this.#inflater?.write(bytes) === false) this.#fault = "tap_overflow";
  }

  end(): void {
    if (this.#fault !== null) return;
    if (this.#isCompressed) {
      const inflated = this.#inflater?.end() ?? "broken";
      if (inflated === "broken" || inflated === "too_large") {
        // without this message's window the next one cannot be inflated
        this.#fault = inflated === "broken" ? "ws_compressed" : "tap_overflow";
        return;
      }
      this.#scan(inflated);
    }
    // sound in binary frames is no JSON, and no fault
    const scanned = this.#scanner.finish();
    if (scanned !== "complete") {
      if (scanned !== "empty") this.#sink.unreadable();
      return;
    }
    const values = this.#values;
    const isAmbiguous = this.#isAmbiguous;
    this.#sink.message({ get: (slot) => values.get(slot), values, isAmbiguous, textBytes: this.#textBytes }, this.#bytes);
  }

  #scan(bytes: Buffer): void {
    this.#bytes += bytes.length;
    const stopped = this.#scanner.write(bytes, 0, bytes.length);
    if (stopped < bytes.length) this.#scanner.write(bytes, stopped, bytes.length);
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (this.#values.has(slot) && this.#values.get(slot) !== value) this.#isAmbiguous = true;
    if (value !== null) this.#values.set(slot, value);
  }

  dropped(): void {
    // a usage object past the cap belongs to no honest server, and a model's name past it to no honest client
    this.#isAmbiguous = true;
  }

  text(_slot: string, bytes: number): void {
    this.#textBytes += bytes;
  }

  enter(): void {
    // no shape asks for it
  }

  variant(): void {
    this.#isAmbiguous = true;
  }

  other(): void {
    // no shape asks for it
  }
}

/** permessage-deflate alone can be undone (RFC 7692); what else changes frames cannot. */
function inflatable(extensions: string | undefined): boolean {
  const names = (extensions ?? "").split(",").map((extension) => (extension.split(";")[0] ?? "").trim().toLowerCase());
  return names.filter((name) => name !== "").join() === "permessage-deflate";
}
