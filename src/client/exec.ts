import { connect } from "node:net";
import { PassThrough, type Readable, Writable } from "node:stream";
import { WebSocket, type ClientOptions as WebSocketOptions } from "ws";
import { ignore } from "../base/background.ts";
import { ReceiveCredit, SendCredit } from "../base/credit.ts";
import { AppError, ERRORS, type ErrorCode } from "../base/error.ts";
import type { z } from "zod";
import type { execSignal, TerminalSize } from "../schema/api.ts";
import {
  decodeFrame,
  encodeFrame,
  EXEC_MAX_DATA,
  EXEC_MAX_MESSAGE,
  EXEC_SUBPROTOCOL,
  EXEC_WINDOW,
  type ExecFrame,
  type ExecStart,
} from "../schema/exec-frames.ts";
import { errorOf, type Transport, unreachable } from "./transport.ts";

export type RemoteExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly reason?: string };

/** A command that runs at the server, with its bytes. Both output streams must be read, or resumed. */
export interface RemoteExec {
  readonly id: string;
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** settles when the command has ended and all its bytes are here; rejects with an AppError when the connection was lost */
  readonly exited: Promise<RemoteExit>;
  kill(signal: z.infer<typeof execSignal>): void;
  resize(size: TerminalSize): void;
}

/** ms for connection, handshake and start of the command */
const START_MS = 60_000;
const MAX_REFUSAL_BYTES = 64 * 1024;

/**
 * Starts a command over `GET /sandboxes/{name}/exec/ws`.
 * @throws AppError with the server's code when it was refused
 */
export async function openExec(transport: Transport, name: string, start: ExecStart, signal?: AbortSignal): Promise<RemoteExec> {
  const socket = await openSocket(transport, `/sandboxes/${encodeURIComponent(name)}/exec/ws`, signal);
  const exec = new ExecConnection(socket, transport.place);
  const abort = (): void => socket.terminate();
  signal?.addEventListener("abort", abort, { once: true });
  socket.once("close", () => signal?.removeEventListener("abort", abort));
  const { id, pid } = await exec.start(start);
  return {
    id,
    pid,
    stdin: exec.stdin,
    stdout: exec.stdout,
    stderr: exec.stderr,
    exited: exec.exited,
    kill: (value) => exec.post({ kind: "signal", value: { signal: value } }),
    resize: ({ rows, cols }) => exec.post({ kind: "resize", value: { rows, cols } }),
  };
}

function openSocket(transport: Transport, path: string, signal: AbortSignal | undefined): Promise<WebSocket> {
  signal?.throwIfAborted();
  const { base, options } = transport;
  const url = new URL(base.pathname.replace(/\/$/, "") + path, base);
  url.protocol = base.protocol === "https:" ? "wss:" : "ws:";
  const socketOptions: WebSocketOptions = {
    headers: transport.headers,
    maxPayload: EXEC_MAX_MESSAGE,
    perMessageDeflate: false,
    handshakeTimeout: START_MS,
    ...("socketPath" in options ? { createConnection: () => connect(options.socketPath) } : {}),
  };
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, EXEC_SUBPROTOCOL, socketOptions);
    const abort = (): void => socket.terminate();
    signal?.addEventListener("abort", abort, { once: true });
    const settle = (run: () => void): void => {
      signal?.removeEventListener("abort", abort);
      run();
    };
    socket.on("error", (cause) => settle(() => reject(unreachable(cause, transport.place, signal))));
    socket.once("open", () => settle(() => resolve(socket)));
    socket.once("unexpected-response", (_request, response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_REFUSAL_BYTES) chunks.push(chunk);
        else response.destroy();
      });
      response.once("close", () => {
        let body: unknown = null;
        try {
          body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
        } catch {
          // not one of our servers: errorOf says so
          body = null;
        }
        settle(() => reject(errorOf(body, response.statusCode ?? 0, transport.place)));
        socket.terminate();
      });
    });
  });
}

class ExecConnection {
  readonly stdin: Writable;
  readonly stdout = outputStream();
  readonly stderr = outputStream();
  readonly exited: Promise<RemoteExit>;
  readonly #socket: WebSocket;
  readonly #place: string;
  readonly #stdinCredit = new SendCredit(EXEC_WINDOW);
  readonly #credit = { stdout: this.#receiver("stdout"), stderr: this.#receiver("stderr") };
  readonly #started = Promise.withResolvers<{ readonly id: string; readonly pid: number }>();
  readonly #exit = Promise.withResolvers<RemoteExit>();

  constructor(socket: WebSocket, place: string) {
    this.#socket = socket;
    this.#place = place;
    this.exited = this.#exit.promise;
    ignore(this.exited, "whoever cares awaits it; the streams end with the same error");
    ignore(this.#started.promise, "start() awaits it");
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#sendStdin(chunk).then(() => done(), done);
      },
      final: (done) => {
        this.post({ kind: "eof", stream: "stdin" });
        done();
      },
    });
    // an error comes when the connection is lost, and then `exited` says it
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.on("error", () => undefined);
    socket.on("message", (data) => this.#onMessage(data));
    socket.once("close", () =>
      this.#lose(new AppError("SERVER_UNREACHABLE", `the connection to ${this.#place} was lost while the command was running`)),
    );
  }

  async start(value: ExecStart): Promise<{ readonly id: string; readonly pid: number }> {
    this.post({ kind: "start", value });
    const timer = setTimeout(() => this.#lose(new AppError("TIMEOUT", `the command did not start within ${START_MS} ms`)), START_MS);
    try {
      return await this.#started.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  post(frame: ExecFrame): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(encodeFrame(frame), { binary: true });
  }

  #receiver(stream: "stdout" | "stderr"): ReceiveCredit {
    return new ReceiveCredit(EXEC_WINDOW, (bytes) => this.post({ kind: "window", stream, bytes }));
  }

  async #sendStdin(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const size = await this.#stdinCredit.take(Math.min(chunk.length - at, EXEC_MAX_DATA));
      if (size === 0 || this.#socket.readyState !== WebSocket.OPEN) return;
      const frame = encodeFrame({ kind: "data", stream: "stdin", bytes: chunk.subarray(at, at + size) });
      await new Promise<void>((resolve) => this.#socket.send(frame, { binary: true }, () => resolve()));
      at += size;
    }
  }

  #onMessage(data: unknown): void {
    try {
      if (!Buffer.isBuffer(data)) throw new AppError("UPSTREAM_ERROR", "the server sent a message that is no frame");
      this.#onFrame(decodeFrame(data));
    } catch (cause) {
      this.#lose(new AppError("UPSTREAM_ERROR", `${this.#place} broke the exec protocol`, { cause }));
    }
  }

  #onFrame(frame: ExecFrame): void {
    switch (frame.kind) {
      case "data": {
        if (frame.stream === "stdin") break;
        const credit = this.#credit[frame.stream];
        if (!credit.receive(frame.bytes.length)) break;
        const { length } = frame.bytes;
        this[frame.stream].write(frame.bytes, () => credit.consume(length));
        return;
      }
      case "eof":
        if (frame.stream === "stdin") {
          // the command reads no more: whoever writes is stopped, as by a closed pipe
          this.#stdinCredit.close();
          this.stdin.destroy();
        } else this[frame.stream].end();
        return;
      case "window":
        if (frame.stream !== "stdin") break;
        this.#stdinCredit.grant(frame.bytes);
        return;
      case "started":
        this.#started.resolve(frame.value);
        return;
      case "exit": {
        const { code, signal, reason } = frame.value;
        this.#exit.resolve({ code, signal: signal as NodeJS.Signals | null, ...(reason === undefined ? {} : { reason }) });
        this.#finish();
        return;
      }
      case "error": {
        const { code, error, hint, request_id } = frame.value;
        const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "INTERNAL";
        this.#lose(new AppError(known, error, { ...(hint === undefined ? {} : { hint }), details: { request_id } }));
        return;
      }
      case "start":
      case "resize":
      case "signal":
        break;
      default:
        frame satisfies never;
    }
    throw new AppError("UPSTREAM_ERROR", `an unexpected ${frame.kind} frame`);
  }

  #finish(): void {
    this.stdout.end();
    this.stderr.end();
    this.#stdinCredit.close();
    this.stdin.destroy();
    this.#socket.close();
  }

  /** Settles everything that still waits. After the exit frame, and the second time, nothing does. */
  #lose(error: AppError): void {
    this.#started.reject(error);
    this.#exit.reject(error);
    this.#stdinCredit.close();
    this.stdin.destroy();
    for (const stream of [this.stdout, this.stderr]) if (!stream.writableEnded) stream.destroy(error);
    this.#socket.terminate();
  }
}

/** What arrives waits here until it is read; credit bounds it. */
function outputStream(): PassThrough {
  return new PassThrough({ highWaterMark: EXEC_MAX_DATA });
}
