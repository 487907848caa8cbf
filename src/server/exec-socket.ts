import type { Readable } from "node:stream";
import type { RawData, WebSocket } from "ws";
import { background, ignore } from "../base/background.ts";
import { ReceiveCredit, SendCredit } from "../base/credit.ts";
import { AppError } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { App, Caller, RunningExec } from "../app/facade.ts";
import { decodeFrame, encodeFrame, EXEC_MAX_DATA, EXEC_WINDOW, type ExecFrame, type ExecStart } from "../schema/exec-frames.ts";
import { failureOf } from "./envelope.ts";
import { chunksOf } from "./output.ts";

/** ms that a client may take for its first frame */
const START_MS = 10_000;
/** ms between pings; a client that answered none of two is gone */
const PING_MS = 20_000;
/** ms for the closing handshake */
const CLOSE_MS = 5_000;

export type ExecSocketOptions = {
  readonly app: App;
  readonly name: string;
  readonly caller: Caller & { readonly requestId: string };
  readonly log: Log;
  /** the server's patience is over */
  readonly halted: AbortSignal;
};

/** Serves one exec over one WebSocket, from its start frame to its exit frame. The command dies with the connection. */
export function serveExecSocket(socket: WebSocket, options: ExecSocketOptions): void {
  background("exec socket", new ExecSocket(socket, options).run(), options.log);
}

class ExecSocket {
  readonly #socket: WebSocket;
  readonly #options: ExecSocketOptions;
  readonly #gone = new AbortController();
  readonly #credit = { stdout: new SendCredit(EXEC_WINDOW), stderr: new SendCredit(EXEC_WINDOW) };
  readonly #stdin = new ReceiveCredit(EXEC_WINDOW, (bytes) => this.#post({ kind: "window", stream: "stdin", bytes }));
  readonly #started = Promise.withResolvers<ExecStart>();
  #hasStarted = false;
  #exec: RunningExec | undefined;
  #stdinClosed = false;
  #failure: Error | undefined;

  constructor(socket: WebSocket, options: ExecSocketOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  async run(): Promise<void> {
    const unwatch = this.#watch();
    try {
      const exec = await this.#start();
      await Promise.all([this.#copy(exec.stdout, "stdout"), this.#copy(exec.stderr, "stderr"), exec.exited]);
      const { code, signal, reason } = await exec.exited;
      if (this.#failure !== undefined) throw this.#failure;
      await this.#send({ kind: "exit", value: { code, signal, ...(reason === undefined ? {} : { reason }) } });
    } catch (error) {
      const { body } = failureOf(error, this.#options.caller.requestId, this.#options.log);
      const { success: _, ...value } = body;
      await this.#send({ kind: "error", value });
    } finally {
      unwatch();
      this.#close();
    }
  }

  async #start(): Promise<RunningExec> {
    const timer = setTimeout(() => this.#started.reject(new AppError("TIMEOUT", `no start frame came within ${START_MS} ms`)), START_MS);
    let start: ExecStart;
    try {
      start = await this.#started.promise;
    } finally {
      clearTimeout(timer);
    }
    const signal = AbortSignal.any([this.#gone.signal, this.#options.halted]);
    const { app, caller, name } = this.#options;
    const { tty, ...request } = start;
    const exec = await app.sandboxes.exec(caller, name, tty === undefined ? request : { ...request, tty }, { signal });
    this.#exec = exec;
    // "close" follows every error
    exec.stdin.on("error", () => undefined);
    await this.#send({ kind: "started", value: { id: exec.id, pid: exec.pid } });
    exec.stdin.on("close", () => this.#endStdin());
    if (exec.stdin.destroyed) this.#endStdin();
    return exec;
  }

  /** Connects the socket's events; every listener is synchronous. */
  #watch(): () => void {
    const socket = this.#socket;
    let missed = 0;
    const ping = setInterval(() => {
      missed += 1;
      if (missed > 2) socket.terminate();
      else socket.ping();
    }, PING_MS);
    socket.on("pong", () => (missed = 0));
    socket.on("message", (data, isBinary) => this.#onMessage(data, isBinary));
    // "close" follows every error, and says all that matters here
    socket.on("error", () => undefined);
    const onGone = (): void => {
      this.#gone.abort();
      this.#started.reject(new AppError("CONFLICT", "the client left before the command started"));
      this.#credit.stdout.close();
      this.#credit.stderr.close();
    };
    socket.once("close", onGone);
    ignore(this.#started.promise, "run() waits for it, unless it has gone on already");
    return () => clearInterval(ping);
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    try {
      if (!isBinary || !Buffer.isBuffer(data)) throw new AppError("VALIDATION", "frames are binary messages");
      this.#onFrame(decodeFrame(data));
    } catch (error) {
      this.#fail(error instanceof Error ? error : new AppError("INTERNAL", "a frame could not be handled", { cause: error }));
    }
  }

  #onFrame(frame: ExecFrame): void {
    if (frame.kind === "start") {
      if (this.#hasStarted) throw new AppError("VALIDATION", "a second start frame");
      this.#hasStarted = true;
      this.#started.resolve(frame.value);
      return;
    }
    if (frame.kind === "window") {
      if (frame.stream === "stdin") throw new AppError("VALIDATION", "a client grants no window for stdin");
      this.#credit[frame.stream].grant(frame.bytes);
      return;
    }
    const exec = this.#exec;
    if (exec === undefined) throw new AppError("VALIDATION", `a ${frame.kind} frame before the command has started`);
    switch (frame.kind) {
      case "data":
        if (frame.stream !== "stdin") throw new AppError("VALIDATION", `a client sends no ${frame.stream}`);
        this.#feed(exec, frame.bytes);
        return;
      case "eof":
        if (frame.stream !== "stdin") throw new AppError("VALIDATION", `a client ends no ${frame.stream}`);
        exec.stdin.end();
        return;
      case "resize":
        exec.resize(frame.value);
        return;
      case "signal":
        exec.kill(frame.value.signal);
        return;
      case "started":
      case "exit":
      case "error":
        throw new AppError("VALIDATION", `a client sends no ${frame.kind} frame`);
      default:
        frame satisfies never;
    }
  }

  #feed(exec: RunningExec, bytes: Uint8Array): void {
    if (!this.#stdin.receive(bytes.length)) throw new AppError("VALIDATION", "more stdin than the window permits");
    if (this.#stdinClosed || exec.stdin.writableEnded) return;
    exec.stdin.write(bytes, (error) => {
      if (error === null || error === undefined) this.#stdin.consume(bytes.length);
    });
  }

  /** The command reads no more: the client is told, so that its producer stops. */
  #endStdin(): void {
    if (this.#stdinClosed) return;
    this.#stdinClosed = true;
    this.#post({ kind: "eof", stream: "stdin" });
  }

  async #copy(source: Readable, stream: "stdout" | "stderr"): Promise<void> {
    for await (const chunk of chunksOf(source)) {
      for (let at = 0; at < chunk.length; ) {
        const size = await this.#credit[stream].take(Math.min(chunk.length - at, EXEC_MAX_DATA));
        // nobody is there: read on to the end, so that the command is not held up while it is killed
        if (size === 0) break;
        await this.#send({ kind: "data", stream, bytes: chunk.subarray(at, at + size) });
        at += size;
      }
    }
    await this.#send({ kind: "eof", stream });
  }

  /** A client that breaks the protocol loses its command. */
  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#started.reject(error);
    this.#gone.abort();
  }

  /** Resolves when the bytes were handed to the kernel, or nobody is there any more. */
  #send(frame: ExecFrame): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return Promise.resolve();
    return new Promise((resolve) => this.#socket.send(encodeFrame(frame), { binary: true }, () => resolve()));
  }

  #post(frame: ExecFrame): void {
    ignore(this.#send(frame), "it resolves in any case; a connection that broke shows in its close event");
  }

  #close(): void {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    this.#socket.close(1000);
    const timer = setTimeout(() => this.#socket.terminate(), CLOSE_MS).unref();
    this.#socket.once("close", () => clearTimeout(timer));
  }
}
