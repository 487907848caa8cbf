import { spawn, type ChildProcess, type IOType } from "node:child_process";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Duplex, Readable, Writable } from "node:stream";
import { AppError, messageOf } from "./error.ts";

/** The only door to child processes: argv arrays, an explicit environment, an own process group, a bounded end. */

/**
 * One entry per descriptor of the child, from 0. `pipe` is a socket pair (both directions), a number passes that descriptor
 * of ours on, `ipc` is Node's message channel.
 */
export type ChildStdio = "ignore" | "pipe" | "inherit" | "ipc" | number;

export type ProcessRequest = {
  /** argv[0] is looked up on the PATH of `env` when it holds no slash */
  readonly argv: readonly [string, ...string[]];
  /** the complete environment: nothing of ours is inherited */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** host uid and gid to become; supplementary groups are dropped (needs root) */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** default: stdin ignored, stdout and stderr piped */
  readonly stdio?: readonly ChildStdio[];
  /** stay in our process group, for a command that owns the user's terminal; default false: a session and group of its own */
  readonly sameGroup?: boolean;
  /** aborting ends it as {@link ChildHandle.stop} does */
  readonly signal?: AbortSignal;
  /** ms between the polite signal and SIGKILL; default 2000 */
  readonly graceMs?: number;
};

/** Why a child is gone; the first cause wins. */
export type ProcessEnd =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signalled"; readonly signal: NodeJS.Signals }
  /** ended because we asked for it; `code` and `signal` are what it then did */
  | { readonly kind: "stopped"; readonly code: number | null; readonly signal: NodeJS.Signals | null }
  | { readonly kind: "failed"; readonly error: Error };

const DEFAULT_GRACE_MS = 2000;

/** A running child. Whoever started it disposes of it; disposal waits until it is gone. */
export class ChildHandle implements AsyncDisposable {
  /** settles once, when the process is gone (its pipes may still hold data); never rejects */
  readonly ended: Promise<ProcessEnd>;
  readonly #child: ChildProcess;
  readonly #group: boolean;
  readonly #graceMs: number;
  #stopping = false;
  #gone = false;

  constructor(child: ChildProcess, options: { group: boolean; graceMs: number }) {
    this.#child = child;
    this.#group = options.group;
    this.#graceMs = options.graceMs;
    this.ended = new Promise((resolve) => {
      child.once("error", (error) => {
        // an 'error' after the start (a failed kill or send) does not mean that the process is gone
        if (child.pid === undefined) resolve({ kind: "failed", error });
      });
      child.once("exit", (code, signal) => {
        this.#gone = true;
        if (this.#stopping) resolve({ kind: "stopped", code, signal });
        else if (signal !== null) resolve({ kind: "signalled", signal });
        else resolve({ kind: "exited", code: code ?? 0 });
      });
    });
  }

  /** undefined when it could not be started */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isGone(): boolean {
    return this.#gone || this.#child.pid === undefined;
  }

  get stdin(): Writable {
    return present(this.#child.stdin, "stdin");
  }

  get stdout(): Readable {
    return present(this.#child.stdout, "stdout");
  }

  get stderr(): Readable {
    return present(this.#child.stderr, "stderr");
  }

  /** A further descriptor that was asked for as `pipe`: a socket pair, both directions. */
  pipe(fd: number): Duplex {
    const stream = this.#child.stdio[fd];
    return present(stream as Duplex | null | undefined, `descriptor ${fd}`);
  }

  /** Messages of the child on Node's channel, a socket or server handed over with each. */
  onMessage(listener: (message: unknown, handle: unknown) => void): void {
    this.#child.on("message", listener);
  }

  /** The channel closed; called once. */
  onDisconnect(listener: () => void): void {
    this.#child.once("disconnect", listener);
  }

  send(message: object): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.send(message, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  disconnect(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  /** Lets this process end although the child lives on. */
  unref(): void {
    for (const handle of this.#handles()) handle.unref();
  }

  /** Takes {@link unref} back. */
  ref(): void {
    for (const handle of this.#handles()) handle.ref();
  }

  #handles(): readonly { ref(): unknown; unref(): unknown }[] {
    const { channel, stdio } = this.#child;
    const pipes = stdio.filter((stream) => stream instanceof Socket);
    return [this.#child, ...(channel === null || channel === undefined ? [] : [channel]), ...pipes];
  }

  /** To the whole process group where it has its own; false when it is gone. */
  kill(signal: NodeJS.Signals): boolean {
    const pid = this.#child.pid;
    if (pid === undefined || this.#gone) return false;
    try {
      return process.kill(this.#group ? -pid : pid, signal);
    } catch {
      // the group vanished between the check and the call, or its leader changed its group: try the process itself
      return this.#child.kill(signal);
    }
  }

  /** Polite signal, SIGKILL after the grace time (at once with `graceMs: 0`); resolves when it is gone. */
  async stop(options: { readonly signal?: NodeJS.Signals; readonly graceMs?: number } = {}): Promise<ProcessEnd> {
    this.#stopping ||= !this.isGone;
    const graceMs = options.graceMs ?? this.#graceMs;
    if (graceMs === 0) this.kill("SIGKILL");
    else this.kill(options.signal ?? "SIGTERM");
    const timer = graceMs === 0 ? undefined : setTimeout(() => this.kill("SIGKILL"), graceMs);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isGone) await this.stop();
  }
}

/** Starts a child at once. A start that fails shows in `ended` (`failed`) and as an undefined `pid`. */
export function startProcess(request: ProcessRequest): ChildHandle {
  const [file, ...args] = request.argv;
  request.signal?.throwIfAborted();
  const child = spawn(file, args, {
    env: { ...request.env },
    stdio: [...(request.stdio ?? (["ignore", "pipe", "pipe"] as const))] as (IOType | "ipc" | number)[],
    detached: request.sameGroup !== true,
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.owner === undefined ? {} : { uid: request.owner.uid, gid: request.owner.gid }),
  });
  const handle = new ChildHandle(child, { group: request.sameGroup !== true, graceMs: request.graceMs ?? DEFAULT_GRACE_MS });
  const { signal } = request;
  if (signal !== undefined) {
    const onAbort = (): void => void handle.stop();
    signal.addEventListener("abort", onAbort, { once: true });
    void handle.ended.then(() => signal.removeEventListener("abort", onAbort));
  }
  return handle;
}

export type RunResult = {
  readonly end: ProcessEnd;
  /** exit code as a shell gives it: 128 + n for a signal */
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** output past the bound was read and dropped */
  readonly truncated: boolean;
};

export type RunRequest = Omit<ProcessRequest, "stdio"> & {
  readonly input?: string | Uint8Array;
  /** bound of stdout and of stderr each; default 1 MiB */
  readonly maxBytes?: number;
  /** required: every wait has a deadline */
  readonly timeoutMs: number;
};

/**
 * Runs a command to its end and collects its output. A non-zero exit is a result, not an error.
 * @throws AppError TIMEOUT past `timeoutMs` (its group is killed), the signal's reason when aborted, NOT_FOUND when it cannot start
 */
export async function runProcess(request: RunRequest): Promise<RunResult> {
  const { input, maxBytes = 1024 * 1024, timeoutMs, ...rest } = request;
  const name = request.argv[0];
  await using child = startProcess({ ...rest, stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"] });
  const stdout = collect(child.stdout, maxBytes);
  const stderr = collect(child.stderr, maxBytes);
  if (input !== undefined) {
    // a command that does not read its input breaks the pipe, which is its right
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  }
  let late = false;
  // a grandchild in a group of its own may hold the pipes for as long as it likes
  const letGo = (): void => {
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const timer = setTimeout(() => {
    late = true;
    void child.stop({ graceMs: 0 });
    letGo();
  }, timeoutMs);
  request.signal?.addEventListener("abort", letGo, { once: true });
  try {
    const end = await child.ended;
    if (end.kind === "failed") throw new AppError("NOT_FOUND", `cannot start ${name}: ${messageOf(end.error)}`, { cause: end.error });
    // a grandchild that holds the pipes must not hold us: what it writes after its parent's end has the same deadline
    const [out, err] = await Promise.all([stdout.done, stderr.done]);
    if (late) throw new AppError("TIMEOUT", `${name} did not end within ${timeoutMs} ms`);
    request.signal?.throwIfAborted();
    return { end, code: exitCodeOf(end), stdout: out, stderr: err, truncated: stdout.truncated() || stderr.truncated() };
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", letGo);
    letGo();
  }
}

/** The exit code as a shell reports it. */
export function exitCodeOf(end: ProcessEnd): number {
  if (end.kind === "failed") return 125;
  if (end.kind === "exited") return end.code;
  if (end.signal !== null) return 128 + (constants.signals[end.signal] ?? 0);
  return end.kind === "stopped" ? (end.code ?? 0) : 0;
}

type Collected = { readonly done: Promise<Buffer>; readonly truncated: () => boolean };

/** Reads to the end or until the stream is destroyed, keeps the first `maxBytes`. */
function collect(stream: Readable, maxBytes: number): Collected {
  const chunks: Buffer[] = [];
  let size = 0;
  let truncated = false;
  stream.on("data", (chunk: Buffer) => {
    const room = maxBytes - size;
    if (chunk.length > room) truncated = true;
    if (room <= 0) return;
    const kept = chunk.subarray(0, room);
    chunks.push(kept);
    size += kept.length;
  });
  stream.on("error", () => stream.destroy());
  return { done: new Promise((resolve) => stream.once("close", () => resolve(Buffer.concat(chunks)))), truncated: () => truncated };
}

function present<T>(stream: T | null | undefined, what: string): T {
  if (stream === null || stream === undefined) throw new AppError("INTERNAL", `the child has no ${what} pipe`);
  return stream;
}
