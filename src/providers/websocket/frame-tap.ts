import { asBuffer } from "../decode/body-decoder.ts";
import { JsonScanner, type JsonSink } from "../json/scanner.ts";
import type { PathNode } from "../json/paths.ts";
import { SOCKETS } from "../shapes/sockets.ts";
import type { Recognition } from "../types.ts";
import { cutOutcome, requestFactsOf, responseFactsOf } from "./call-facts.ts";
import { FrameParser, type FrameSink } from "./frame-parser.ts";
import { MessageInflater } from "./message-inflater.ts";
import type { Found, SocketCall, SocketEnd, SocketSession } from "./session.ts";

/** Reads the model calls out of a WebSocket as its bytes pass in both directions; bounded memory, never throws, changes nothing. */
export interface FrameTap {
  /** bytes that the client sent behind its handshake */
  fromClient(chunk: Uint8Array): void;
  /** bytes that the server sent behind its 101 */
  fromServer(chunk: Uint8Array): void;
  /** Reports what is still open. `complete`: both sides closed; `aborted`: the client left; `error`: the upstream broke off. */
  end(how: SocketEnd): void;
}

export type FrameTapOptions = {
  /** `Sec-WebSocket-Extensions` of the 101, as sent */
  readonly extensions?: string | undefined;
  /** one model call is over, while the socket goes on; must not throw */
  readonly onCall: (call: SocketCall) => void;
};

/** Null for what has no calls in its frames. */
export function createFrameTap(recognition: Recognition, options: FrameTapOptions): FrameTap | null {
  const shape = SOCKETS[recognition.shape];
  return shape === undefined ? null : new SocketTap(recognition, options, shape.client, shape.server);
}

class SocketTap implements FrameTap {
  readonly #recognition: Recognition;
  readonly #onCall: (call: SocketCall) => void;
  readonly #session: SocketSession | null;
  readonly #client: Direction;
  readonly #server: Direction;
  #ended = false;

  constructor(recognition: Recognition, options: FrameTapOptions, client: PathNode, server: PathNode) {
    this.#recognition = recognition;
    this.#onCall = options.onCall;
    const session =
      SOCKETS[recognition.shape]?.open({
        provider: recognition.provider,
        operation: recognition.operation,
        model: recognition.model ?? null,
        emit: options.onCall,
      }) ?? null;
    this.#session = session;
    const mayCompress = inflatable(options.extensions);
    this.#client = new Direction(client, mayCompress, (message) => session?.client(message));
    this.#server = new Direction(server, mayCompress, (message) => session?.server(message));
  }

  fromClient(chunk: Uint8Array): void {
    if (!this.#ended) this.#client.write(asBuffer(chunk));
  }

  fromServer(chunk: Uint8Array): void {
    if (!this.#ended) this.#server.write(asBuffer(chunk));
  }

  end(how: SocketEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session?.end(how);
    const missing = this.#server.fault ?? this.#client.fault;
    if (missing === null) return;
    // whatever was used behind the fault is unknown, and says so
    const { operation, model } = this.#recognition;
    const outcome = how === "complete" ? "ok" : cutOutcome(how);
    this.#onCall({ operation, request: requestFactsOf({ model: model ?? null }), response: responseFactsOf(null, { missing, outcome }) });
  }
}

type Fault = "unparsable" | "ws_compressed" | "tap_overflow";

/** a usage object with its details is below 4 KiB */
const VALUE_CAP = 64 * 1024;

/** One direction: frames to messages, messages to what they hold. Text and binary are the same, Gemini Live sends JSON as binary. */
class Direction implements FrameSink, JsonSink {
  readonly #parser = new FrameParser(this);
  readonly #scanner: JsonScanner;
  readonly #inflater: MessageInflater | null;
  readonly #onMessage: (message: Found) => void;
  #values = new Map<string, unknown>();
  #textBytes = 0;
  #isCompressed = false;
  #fault: Fault | null = null;

  constructor(paths: PathNode, mayCompress: boolean, onMessage: (message: Found) => void) {
    this.#scanner = new JsonScanner(paths, this, VALUE_CAP);
    this.#inflater = mayCompress ? new MessageInflater() : null;
    this.#onMessage = onMessage;
  }

  /** why nothing more can be read; null while all is well */
  get fault(): Fault | null {
    return this.#fault ?? (this.#parser.failed ? "unparsable" : null);
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
    if (this.#scanner.finish() !== "complete") return;
    const values = this.#values;
    this.#onMessage({ get: (slot) => values.get(slot), values, textBytes: this.#textBytes });
  }

  #scan(bytes: Buffer): void {
    const stopped = this.#scanner.write(bytes, 0, bytes.length);
    if (stopped < bytes.length) this.#scanner.write(bytes, stopped, bytes.length);
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (value !== null) this.#values.set(slot, value);
  }

  dropped(): void {
    // a usage object past the cap belongs to no honest server
  }

  text(_slot: string, bytes: number): void {
    this.#textBytes += bytes;
  }

  enter(): void {
    // no shape asks for it
  }

  variant(): void {
    // nothing is decided by a message's model
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
