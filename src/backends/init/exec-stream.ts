import { constants } from "node:os";
import { Readable, Writable } from "node:stream";
import { ignore } from "../../base/background.ts";
import type { AppError } from "../../base/error.ts";
import type { BackendExec, ExecRequest, ExecSignal, ExitStatus } from "../../sandbox/backend.ts";
import { execFailure, parseFailure } from "./failure.ts";
import { Inbound, Outbound } from "./flow.ts";
import { CHANNEL, FRAME, type Frame, FrameError } from "./frame.ts";
import type { Link } from "./link.ts";
import { encodeSize, encodeU32, parseExit, parseU32 } from "./message.ts";

const HIGH_WATER_BYTES = 16 * 1024;

type Output = { readonly stream: Readable; readonly flow: Inbound; wasReset: boolean };

/** One command, as its frames tell it. Its streams are closed when it has ended, whoever still holds them. */
export class ExecStream implements BackendExec {
  readonly stdin: Writable;
  readonly exited: Promise<ExitStatus>;
  readonly started: Promise<void>;
  readonly #link: Link;
  readonly #id: number;
  readonly #request: ExecRequest;
  readonly #input: Outbound;
  readonly #out: Output;
  readonly #err: Output;
  readonly #onOver: () => void;
  readonly #start = Promise.withResolvers<void>();
  readonly #exit = Promise.withResolvers<ExitStatus>();
  #state: "starting" | "running" | "over" = "starting";
  #pid = 0;

  constructor(link: Link, id: number, request: ExecRequest, onOver: () => void) {
    this.#link = link;
    this.#id = id;
    this.#request = request;
    this.#onOver = onOver;
    this.started = this.#start.promise;
    this.exited = this.#exit.promise;
    ignore(this.started, "a rejection reaches whoever awaits it; nobody has to");
    ignore(this.exited, "a rejection reaches whoever awaits it; nobody has to");
    this.#out = this.#output(CHANNEL.out);
    this.#err = this.#output(CHANNEL.err);
    // a terminal has one output
    if (request.tty !== undefined) this.#err.flow.end();
    this.#input = new Outbound((chunk, done) => link.data(CHANNEL.in, id, chunk, done));
    this.stdin = new Writable({
      highWaterMark: 64 * 1024,
      write: (chunk: Buffer, _encoding, done) => this.#input.write(chunk, done),
      final: (done) => {
        if (!this.#input.stopped) link.control(FRAME.eof, CHANNEL.in, id);
        this.#input.stop();
        done();
      },
      destroy: (error, done) => {
        if (!this.#input.stopped && this.#state !== "over") link.control(FRAME.reset, CHANNEL.in, id);
        this.#input.stop();
        done(error);
      },
    });
    // `exited` carries the fault; a stream that nobody listens to must not end this process
    for (const stream of [this.stdin, this.#out.stream, this.#err.stream]) stream.on("error", () => undefined);
  }

  get stdout(): Readable {
    return this.#out.stream;
  }

  get stderr(): Readable {
    return this.#err.stream;
  }

  get pid(): number {
    return this.#pid;
  }

  kill(signal: ExecSignal): void {
    if (this.#state !== "over") this.#link.control(FRAME.signal, 0, this.#id, Buffer.from([constants.signals[signal]]));
  }

  resize(size: { readonly rows: number; readonly cols: number }): void {
    const payload = encodeSize(size);
    if (this.#state !== "over") this.#link.control(FRAME.resize, 0, this.#id, payload);
  }

  /** Nobody wants this command any more. */
  abandon(): void {
    this.kill("SIGKILL");
    this.stdin.destroy();
    this.#out.stream.destroy();
    this.#err.stream.destroy();
  }

  /** @throws FrameError for what init may not say now */
  receive(frame: Frame): void {
    const { type, payload } = frame;
    if (this.#state === "starting") {
      if (type === FRAME.started) this.#onStarted(parseU32(payload));
      else if (type === FRAME.failed) this.#fail(execFailure(parseFailure(payload), this.#request));
      else throw new FrameError(`frame ${type} before the command started`);
      return;
    }
    switch (type) {
      case FRAME.data:
        this.#outputOf(frame.channel).flow.receive(payload);
        break;
      case FRAME.eof:
        this.#outputOf(frame.channel).flow.end();
        break;
      case FRAME.credit:
        if (frame.channel !== CHANNEL.in) throw new FrameError("credit for an output");
        if (!this.#input.stopped) this.#input.grant(parseU32(payload));
        break;
      case FRAME.reset:
        if (frame.channel !== CHANNEL.in) throw new FrameError("init gave up an output");
        this.#closeInput();
        break;
      case FRAME.exit:
        this.#onExit(parseExit(payload));
        break;
      default:
        throw new FrameError(`frame ${type} for a command`);
    }
  }

  /** The sandbox is gone. What was received whole stays readable. */
  lost(error: AppError): void {
    if (this.#state !== "over") this.#fail(error);
  }

  #onStarted(pid: number): void {
    if (pid === 0) throw new FrameError("a command without a pid");
    this.#state = "running";
    this.#pid = pid;
    this.#start.resolve();
  }

  #onExit(status: ExitStatus): void {
    for (const output of [this.#out, this.#err]) {
      if (output.flow.ended) continue;
      if (!output.wasReset) throw new FrameError("EXIT before the end of an output");
      output.flow.end();
    }
    this.#over();
    this.#exit.resolve(status);
  }

  #fail(error: AppError): void {
    this.#over();
    for (const output of [this.#out, this.#err]) if (!output.flow.ended) output.stream.destroy(error);
    this.#start.reject(error);
    this.#exit.reject(error);
  }

  #over(): void {
    this.#state = "over";
    this.#closeInput();
    this.#onOver();
  }

  /** Without an error: a command that does not read all its input (`head -1`) is no fault. */
  #closeInput(): void {
    this.#input.stop();
    if (!this.stdin.writableFinished) this.stdin.destroy();
  }

  #output(channel: typeof CHANNEL.out | typeof CHANNEL.err): Output {
    const stream = new Readable({
      highWaterMark: HIGH_WATER_BYTES,
      read: () => output.flow.pull(),
      destroy: (error, done) => {
        if (!output.flow.ended && this.#state !== "over") {
          output.wasReset = true;
          this.#link.control(FRAME.reset, channel, this.#id);
        }
        output.flow.stop();
        done(error);
      },
    });
    const flow = new Inbound({
      push: (chunk) => stream.push(chunk),
      grant: (bytes) => this.#link.control(FRAME.credit, channel, this.#id, encodeU32(bytes)),
    });
    const output: Output = { stream, flow, wasReset: false };
    return output;
  }

  #outputOf(channel: number): Output {
    if (channel === CHANNEL.out) return this.#out;
    if (channel === CHANNEL.err) return this.#err;
    throw new FrameError(`no such channel: ${channel}`);
  }
}
