import type { Duplex } from "node:stream";
import { AppError, messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { BackendExec, ExecRequest } from "../../sandbox/backend.ts";
import { DialStream } from "./dial-stream.ts";
import { ExecStream } from "./exec-stream.ts";
import { FRAME, type Frame, FrameError, PROTOCOL_VERSION, WINDOW } from "./frame.ts";
import { Link } from "./link.ts";
import { encodeExec, encodeHello, encodeU16, parseHello } from "./message.ts";

const HELLO_TIMEOUT_MS = 10_000;
/** init gives the processes of a sandbox 5 s to be gone where it is not pid 1 of a namespace */
const SHUTDOWN_TIMEOUT_MS = 6_000;
const MAX_STREAM_ID = 0xffff_ffff;

export type ConnectOptions = {
  readonly log: Log;
  /** how long init may take to say hello, ms; default 10000 */
  readonly helloTimeoutMs?: number;
};

/** The host's end of the init inside one sandbox. */
export interface InitClient extends AsyncDisposable {
  /** what init was built from, for logs and `doctor` */
  readonly buildId: string;
  /**
   * Resolves when the command runs; aborting `signal` before that kills it, later it does nothing. `exited` settles when all
   * output is in this process: it can be read afterwards. `stdin` closes without an error when the command stops reading.
   * @throws AppError EXEC_NOT_FOUND, EXEC_NOT_EXECUTABLE, LIMIT_EXCEEDED, VALIDATION, TOO_LARGE, SANDBOX_ENDED
   */
  exec(request: ExecRequest, options: { readonly signal: AbortSignal }): Promise<BackendExec>;
  /**
   * A TCP connection to 127.0.0.1:port inside, or [::1]:port where only that listens. `signal` as for `exec`.
   * @throws AppError UPSTREAM_ERROR when nothing listens, LIMIT_EXCEEDED, VALIDATION, SANDBOX_ENDED
   */
  dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex>;
  /** settles when init is gone, for whatever reason; never rejects */
  readonly closed: Promise<void>;
  /** Kills everything inside and resolves when init is gone. Idempotent. */
  shutdown(): Promise<void>;
}

/**
 * Greets an init over its socket, which then belongs to the client.
 * @throws AppError SANDBOX_START_FAILED when there is no answer, BACKEND_UNAVAILABLE for an init of another version
 */
export async function connectInit(channel: Duplex, options: ConnectOptions): Promise<InitClient> {
  const client = new SocketInitClient(channel, options.log);
  const timeoutMs = options.helloTimeoutMs ?? HELLO_TIMEOUT_MS;
  const timer = setTimeout(
    () => client.fail(new AppError("SANDBOX_START_FAILED", `init did not answer within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    await client.greeted;
    return client;
  } catch (error) {
    if (error instanceof AppError && error.code !== "SANDBOX_ENDED") throw error;
    throw new AppError("SANDBOX_START_FAILED", "init ended before it answered", { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

class SocketInitClient implements InitClient {
  readonly greeted: Promise<void>;
  readonly #link: Link;
  readonly #log: Log;
  readonly #hello = Promise.withResolvers<void>();
  readonly #streams = new Map<number, ExecStream | DialStream>();
  #buildId: string | undefined;
  #lastId = 0;

  constructor(channel: Duplex, log: Log) {
    this.#log = log;
    this.greeted = this.#hello.promise;
    this.#link = new Link(channel, { frame: (frame) => this.#onFrame(frame), break: (error) => this.#onBreak(error) });
    this.#link.control(FRAME.hello, 0, 0, encodeHello("host"));
  }

  get buildId(): string {
    return this.#buildId ?? "";
  }

  get closed(): Promise<void> {
    return this.#link.closed;
  }

  async exec(request: ExecRequest, options: { readonly signal: AbortSignal }): Promise<BackendExec> {
    options.signal.throwIfAborted();
    const payload = encodeExec(request);
    const stream = this.#open((id) => new ExecStream(this.#link, id, request, () => this.#streams.delete(id)));
    await this.#begin(stream.value, () => this.#link.large(FRAME.exec, stream.id, payload), options.signal);
    return stream.value;
  }

  async dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex> {
    options.signal.throwIfAborted();
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new AppError("VALIDATION", `not a port: ${port}`);
    const stream = this.#open((id) => new DialStream(this.#link, id, port, () => this.#streams.delete(id)));
    await this.#begin(stream.value, () => this.#link.large(FRAME.dial, stream.id, encodeU16(port)), options.signal);
    return stream.value.stream;
  }

  async shutdown(): Promise<void> {
    this.#link.control(FRAME.shutdown, 0, 0);
    const timer = setTimeout(() => this.fail(new AppError("SANDBOX_ENDED", "the sandbox was stopped")), SHUTDOWN_TIMEOUT_MS);
    await this.closed;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  fail(error: AppError): void {
    this.#link.break(error);
  }

  #open<T extends ExecStream | DialStream>(make: (id: number) => T): { readonly id: number; readonly value: T } {
    if (this.#link.broken !== undefined) throw this.#link.broken;
    do this.#lastId = this.#lastId === MAX_STREAM_ID ? 1 : this.#lastId + 1;
    while (this.#streams.has(this.#lastId));
    const id = this.#lastId;
    const value = make(id);
    this.#streams.set(id, value);
    return { id, value };
  }

  /** Sends the first frame of a stream and waits for init's answer or the caller's loss of interest. */
  async #begin(stream: ExecStream | DialStream, send: () => Promise<void>, signal: AbortSignal): Promise<void> {
    await send();
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => {
      // it stays in the table until init has said its last word about it
      stream.abandon();
      aborted.reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([stream.started, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #onFrame(frame: Frame): void {
    if (this.#buildId === undefined) {
      this.#onHello(frame);
      return;
    }
    // init says nothing about a stream after its last frame, so an unknown one is a breach and not a race
    const stream = this.#streams.get(frame.stream);
    if (stream === undefined) throw new FrameError(`frame ${frame.type} for stream ${frame.stream}, which does not exist`);
    stream.receive(frame);
  }

  #onHello(frame: Frame): void {
    if (frame.type !== FRAME.hello || frame.stream !== 0) throw new FrameError("the first frame is not a hello");
    const hello = parseHello(frame.payload);
    if (hello.version !== PROTOCOL_VERSION || hello.window !== WINDOW) {
      this.fail(
        new AppError(
          "BACKEND_UNAVAILABLE",
          `the sandbox's init speaks version ${hello.version} of the protocol, this program ${PROTOCOL_VERSION}`,
          {
            hint: "build it again: node scripts/build-guest.mjs",
          },
        ),
      );
      return;
    }
    this.#buildId = hello.buildId;
    this.#log.debug("init answered", { build: hello.buildId });
    this.#hello.resolve();
  }

  #onBreak(error: AppError): void {
    this.#hello.reject(error);
    if (error.cause !== undefined) this.#log.warn("the connection to a sandbox's init broke", { error: messageOf(error) });
    for (const stream of this.#streams.values()) stream.lost(error);
  }
}
