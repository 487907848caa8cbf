import { Duplex } from "node:stream";
import { ignore } from "../../base/background.ts";
import type { AppError } from "../../base/error.ts";
import { dialFailure, parseFailure } from "./failure.ts";
import { Inbound, Outbound } from "./flow.ts";
import { CHANNEL, FRAME, type Frame, FrameError } from "./frame.ts";
import type { Link } from "./link.ts";
import { encodeU32, parseU32 } from "./message.ts";

/** One TCP connection to a port inside, as its frames tell it. */
export class DialStream {
  readonly stream: Duplex;
  readonly started: Promise<void>;
  readonly #port: number;
  readonly #in: Inbound;
  readonly #out: Outbound;
  readonly #onOver: () => void;
  readonly #start = Promise.withResolvers<void>();
  #state: "starting" | "running" | "over" = "starting";

  constructor(link: Link, id: number, port: number, onOver: () => void) {
    this.#port = port;
    this.#onOver = onOver;
    this.started = this.#start.promise;
    ignore(this.started, "a rejection reaches whoever awaits it; nobody has to");
    this.#out = new Outbound((chunk, done) => link.data(CHANNEL.in, id, chunk, done));
    this.stream = new Duplex({
      allowHalfOpen: true,
      read: () => this.#in.pull(),
      write: (chunk: Buffer, _encoding, done) => this.#out.write(chunk, done),
      final: (done) => {
        if (!this.#out.stopped) link.control(FRAME.eof, CHANNEL.in, id);
        this.#out.stop();
        done();
      },
      destroy: (error, done) => {
        const isComplete = this.#in.ended && this.stream.writableFinished;
        if (this.#state !== "over" && !isComplete) link.control(FRAME.reset, CHANNEL.in, id);
        this.#in.stop();
        this.#out.stop();
        done(error);
      },
    });
    this.#in = new Inbound({
      push: (chunk) => this.stream.push(chunk),
      grant: (bytes) => link.control(FRAME.credit, CHANNEL.out, id, encodeU32(bytes)),
    });
    // a connection that was handed on and dropped must not end this process
    this.stream.on("error", () => undefined);
  }

  /** Nobody wants this connection any more. */
  abandon(): void {
    this.stream.destroy();
  }

  /** @throws FrameError for what init may not say now */
  receive(frame: Frame): void {
    const { type, channel, payload } = frame;
    if (type === FRAME.closed) {
      this.#onClosed();
      return;
    }
    if (this.#state === "starting") {
      if (type === FRAME.started) {
        this.#state = "running";
        this.#start.resolve();
      } else if (type === FRAME.failed) this.#fail(dialFailure(parseFailure(payload), this.#port));
      else throw new FrameError(`frame ${type} before the connection stood`);
      return;
    }
    const isFromPeer = channel === CHANNEL.out;
    if (type === FRAME.data && isFromPeer) this.#in.receive(payload);
    else if (type === FRAME.eof && isFromPeer) this.#in.end();
    else if (type === FRAME.credit && channel === CHANNEL.in) {
      if (!this.#out.stopped) this.#out.grant(parseU32(payload));
    } else if (type === FRAME.reset && isFromPeer) this.stream.destroy(broken("read", "ECONNRESET"));
    else if (type === FRAME.reset && channel === CHANNEL.in) {
      // what the peer said before it stopped reading is still delivered
      this.#out.stop(broken("write", "EPIPE"));
    } else throw new FrameError(`frame ${type} on channel ${channel} of a connection`);
  }

  /** The sandbox is gone. */
  lost(error: AppError): void {
    if (this.#state !== "over") this.#fail(error);
  }

  #onClosed(): void {
    const wasStarting = this.#state === "starting";
    this.#over();
    if (wasStarting) this.#start.reject(broken("connect", "ECONNABORTED"));
    this.#out.stop(broken("write", "EPIPE"));
    if (!this.#in.ended && !this.stream.destroyed) this.stream.destroy(broken("read", "ECONNRESET"));
  }

  #fail(error: AppError): void {
    this.#over();
    this.stream.destroy(error);
    this.#start.reject(error);
  }

  #over(): void {
    this.#state = "over";
    this.#onOver();
  }
}

/** An error as a socket of Node's own would give it. */
function broken(call: string, code: string): Error {
  return Object.assign(new Error(`${call} ${code}`), { code, syscall: call });
}
