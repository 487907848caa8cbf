import { Socket as DatagramSocket } from "node:dgram";
import { Server, Socket } from "node:net";
import { constants } from "node:os";
import type { Writable } from "node:stream";
import { AppError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { type ChildHandle, exitCodeOf, type ProcessEnd, startProcess } from "../../base/process.ts";
import { encodeGo, encodeSignal, encodeStart, type LaunchRequest } from "./launch-request.ts";

/** descriptors of the launcher: 0 and 1 nothing, 2 diagnostics, 3 Node's channel */
const REQUESTS_FD = 4;
/** ms without a sandbox after which the launcher ends; the next start makes another one */
const IDLE_MS = 10_000;
const MAX_ID = 0xffff_fffe;
const MAX_DIAGNOSTICS = 1024;
const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]));

/** What comes from a process that the launcher started. */
export type Launched = {
  /** the socket to its init, and then the listening sockets of its network */
  readonly socket: (socket: Socket | Server | DatagramSocket, port: number | undefined) => void;
  /** every socket has come */
  readonly ready: () => void;
  /** it is gone and reaped; called once, the last of all. `said`: what it and its children wrote to standard error last */
  readonly ended: (end: Exclude<ProcessEnd, { readonly kind: "stopped" }>, said: string) => void;
};

type Running = {
  readonly child: ChildHandle;
  readonly pid: number;
  readonly requests: Writable;
  readonly launched: Map<number, Launched>;
};

/**
 * guest/launcher.c, which forks for us: this process is large, and each fork of it held it up for milliseconds. Started when it is first
 * needed (and not ahead: a process that is still loading writes to most of its pages afterwards, each of which a fork makes it pay for)
 * and again when it has ended; what it started ends with it.
 */
export class Launcher {
  readonly #path: () => string;
  readonly #log: Log;
  readonly #idleMs: number;
  #running: Running | undefined;
  #idle: NodeJS.Timeout | undefined;
  #lastId = 0;

  /** @param path of the program; may throw where it was not built */
  constructor(path: () => string, log: Log, idleMs = IDLE_MS) {
    this.#path = path;
    this.#log = log;
    this.#idleMs = idleMs;
  }

  /** of the process that is the parent of what is started next */
  get pid(): number {
    return this.#started().pid;
  }

  /** Starts a process. A failure is its end. Returns its number, by which it is spoken of. */
  start(request: LaunchRequest, launched: Launched): number {
    const running = this.#started();
    clearTimeout(this.#idle);
    do this.#lastId = this.#lastId === MAX_ID ? 1 : this.#lastId + 1;
    while (running.launched.has(this.#lastId));
    const id = this.#lastId;
    if (running.launched.size === 0) running.child.ref();
    running.launched.set(id, launched);
    running.requests.write(encodeStart(id, request));
    return id;
  }

  go(id: number): void {
    this.#running?.requests.write(encodeGo(id));
  }

  signal(id: number, signal: NodeJS.Signals): void {
    this.#running?.requests.write(encodeSignal(id, constants.signals[signal]));
  }

  #started(): Running {
    if (this.#running !== undefined) return this.#running;
    const child = startProcess({
      argv: [this.#path(), "--parent", String(process.pid)],
      env: {},
      // it must not hold a directory of the caller's
      cwd: "/",
      stdio: ["ignore", "ignore", "pipe", "ipc", "pipe"],
    });
    if (child.pid === undefined) throw new AppError("SANDBOX_START_FAILED", "the launcher of sandboxes could not be started");
    const requests = child.pipe(REQUESTS_FD);
    // one that died is told by its end, not by this pipe
    requests.on("error", () => requests.destroy());
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-MAX_DIAGNOSTICS);
    });
    const running: Running = { child, pid: child.pid, requests, launched: new Map() };
    child.onMessage((message, handle) => this.#onMessage(running, message, handle));
    void child.ended.then((end) => this.#onEnd(running, end, said));
    child.unref();
    this.#running = running;
    return running;
  }

  #onMessage(running: Running, message: unknown, handle: unknown): void {
    if (!isReport(message)) return;
    const launched = running.launched.get(message.sandbox);
    const socket = handle instanceof Socket || handle instanceof Server || handle instanceof DatagramSocket ? handle : undefined;
    if (launched === undefined) {
      // the launcher's end was known before its last words were read
      if (socket instanceof Socket) socket.destroy();
      else socket?.close();
    } else if (socket !== undefined) launched.socket(socket, message.tcp);
    else if (message.ready !== undefined) launched.ready();
    else if (message.ended !== undefined) {
      running.launched.delete(message.sandbox);
      if (running.launched.size === 0) this.#rest(running);
      launched.ended(endOf(message.ended), message.ended.said);
    }
  }

  /** Nothing keeps this process alive for the launcher's sake, and the launcher not for ever. */
  #rest(running: Running): void {
    running.child.unref();
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#running === running) this.#running = undefined;
      // the end of its requests is its end
      running.requests.end();
    }, this.#idleMs).unref();
  }

  #onEnd(running: Running, end: ProcessEnd, said: string): void {
    if (this.#running === running) this.#running = undefined;
    if (running.launched.size === 0 && end.kind === "exited" && end.code === 0) return;
    this.#log.error("the launcher of sandboxes has ended", { code: exitCodeOf(end), said: said.trim(), sandboxes: running.launched.size });
    // by the parent-death signal of what it had started
    for (const launched of running.launched.values()) launched.ended({ kind: "signalled", signal: "SIGKILL" }, said);
    running.launched.clear();
  }
}

type Report = {
  readonly sandbox: number;
  readonly tcp?: number;
  readonly ready?: unknown;
  readonly ended?: { readonly code: number; readonly signal: number; readonly said: string };
};

/** It is our own program that speaks, in forms that guest/launcher-node.c writes. */
function isReport(message: unknown): message is Report {
  return typeof message === "object" && message !== null && "sandbox" in message;
}

function endOf({ code, signal }: NonNullable<Report["ended"]>): Exclude<ProcessEnd, { readonly kind: "stopped" }> {
  return signal === 0 ? { kind: "exited", code } : { kind: "signalled", signal: SIGNAL_NAMES.get(signal) ?? "SIGKILL" };
}
