import { Socket as DatagramSocket } from "node:dgram";
import { closeSync, openSync } from "node:fs";
import { Server, type Socket } from "node:net";
import { AppError, errnoOf } from "../../base/error.ts";
import type { ProcessEnd } from "../../base/process.ts";
import type { FileOwner, SandboxListeners } from "../../sandbox/backend.ts";
import { FIRST_OPENED, type Opened } from "./launch-request.ts";
import type { Launcher } from "./launcher.ts";
import type { LimitPlan } from "./limit-plan.ts";

/** Exit codes of guest/net-helper.c. */
export const HELPER_EXIT = { failed: 125, memory: 120 } as const;

/** Descriptors of stage 1: 0 and 1 nothing, 2 diagnostics, then the launcher's, then these; what bwrap is to inherit follows. */
const FD = { channel: 3, init: 4, args: FIRST_OPENED, seccomp: FIRST_OPENED + 1, first: FIRST_OPENED + 2 } as const;
export const SECCOMP_FD = FD.seccomp;

const STOP_GRACE_MS = 3000;

export type StageOneRequest = {
  readonly helperPath: string;
  readonly bwrapPath: string;
  readonly initPath: string;
  readonly scratch: string;
  readonly plan: LimitPlan;
  /** cores to be bound to */
  readonly cores: readonly number[];
  /** TCP ports to listen on; none: no route but loopback */
  readonly ports: readonly number[];
  readonly owner: FileOwner | undefined;
  /** what bwrap gets descriptors of, in order from {@link inheritedFd} 0 */
  readonly inherited: readonly Opened[];
  /** file with the system call filter */
  readonly seccompPath: string;
  readonly bwrapOptions: Buffer;
  /** control files of the groups that it joins before anything else */
  readonly entrances: readonly string[];
};

/** The number that an inherited descriptor has in the child. */
export function inheritedFd(index: number): number {
  return FD.first + index;
}

export function isOutOfDescriptors(error: unknown): boolean {
  return errnoOf(error) === "EMFILE" || errnoOf(error) === "ENFILE";
}

export function outOfDescriptors(cause: unknown): AppError {
  return new AppError("LIMIT_EXCEEDED", "agentkernel is out of file descriptors for another sandbox", {
    cause,
    hint: "raise the limit (ulimit -n) or stop some sandboxes",
  });
}

/** A descriptor for every socket and pipe of one start, tried beforehand: short of them, Node takes sockets without a word. */
export function assertDescriptors(count: number): void {
  const taken: number[] = [];
  try {
    for (let i = 0; i < count; i += 1) taken.push(openSync("/dev/null", "r"));
  } catch (error) {
    if (!isOutOfDescriptors(error)) throw error;
    throw outOfDescriptors(error);
  } finally {
    for (const fd of taken) closeSync(fd);
  }
}

/** Stage 1 of one sandbox, and after `go` the process that everything inside hangs on. */
export class StageOne {
  readonly #launcher: Launcher;
  readonly #id: number;
  readonly #tcp = new Map<number, Server>();
  #dns: DatagramSocket | undefined;
  #init: Socket | undefined;
  #taken = false;
  #stopping = false;
  #diagnostics = "";
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<ProcessEnd>();

  constructor(launcher: Launcher, request: StageOneRequest) {
    this.#launcher = launcher;
    this.#id = launcher.start(
      {
        argv: [request.helperPath, ...helperArguments(request, launcher.pid)],
        owner: request.owner,
        opened: [
          { kind: "content", content: request.bwrapOptions },
          { kind: "reading", path: request.seccompPath },
          ...request.inherited,
          ...request.entrances.map((path) => ({ kind: "writing", path }) as const),
        ],
      },
      {
        socket: (socket, port) => this.#onSocket(socket, port),
        ready: () => this.#ready.resolve(),
        ended: (end, said) => this.#onEnd(end, said),
      },
    );
    // a start that is given up before it was awaited
    this.#ready.promise.catch(() => undefined);
  }

  /** settles when everything inside is gone and reaped */
  get ended(): Promise<ProcessEnd> {
    return this.#ended.promise;
  }

  /** The socket to the init; there when the listeners are. */
  get initChannel(): Socket {
    if (this.#init === undefined) throw new AppError("INTERNAL", "the socket to the init is not there yet");
    return this.#init;
  }

  /** Resolves with the listeners once namespaces and sockets stand; rejects with the reason when it ended instead. */
  async listeners(signal: AbortSignal): Promise<SandboxListeners> {
    await raceSignal(this.#ready.promise, signal);
    return { tcp: this.#tcp, ...(this.#dns === undefined ? {} : { dns: this.#dns }) };
  }

  /** From here the listeners belong to the gateway. */
  handOver(): void {
    this.#taken = true;
  }

  /** The word that the gateway is attached; without it stage 1 ends, and stage 2 with it. */
  go(): void {
    this.#launcher.go(this.#id);
  }

  /** What stage 1 or bwrap said on its way out, as an error. */
  failure(end: ProcessEnd): AppError {
    const said = this.#diagnostics.trim().split("\n").filter(Boolean).slice(-3).join("; ");
    if (/Too many open files/.test(said)) return outOfDescriptors(said);
    const how = end.kind === "signalled" ? `was ended by ${end.signal}` : end.kind === "exited" ? `exited with ${end.code}` : "was stopped";
    return new AppError("SANDBOX_START_FAILED", `the sandbox did not start: ${said === "" ? `stage 1 ${how}` : said}`, hintFor(said));
  }

  /** Kills everything inside and gives back what was not handed over; true when the last process was seen gone. */
  async close(): Promise<boolean> {
    this.#stopping = true;
    this.#launcher.signal(this.#id, "SIGTERM");
    const timer = setTimeout(() => this.#launcher.signal(this.#id, "SIGKILL"), STOP_GRACE_MS);
    const end = await this.#ended.promise;
    clearTimeout(timer);
    this.#closeListeners();
    this.#init?.destroy();
    // killed itself, it could not wait for what is inside
    return !(end.kind === "signalled" || (end.kind === "stopped" && end.signal !== null));
  }

  #closeListeners(): void {
    if (this.#taken) return;
    for (const server of this.#tcp.values()) server.close();
    this.#tcp.clear();
    try {
      this.#dns?.close();
    } catch (error) {
      // a gateway that refused may have closed what it had been given
      if (errnoOf(error) !== "ERR_SOCKET_DGRAM_NOT_RUNNING") throw error;
    }
    this.#dns = undefined;
  }

  #onSocket(socket: Socket | Server | DatagramSocket, port: number | undefined): void {
    if (socket instanceof DatagramSocket) this.#dns = socket;
    else if (!(socket instanceof Server)) {
      this.#init = socket;
      // until the init's client has it, its end tells
      socket.on("error", () => socket.destroy());
    } else if (port !== undefined) this.#tcp.set(port, socket);
  }

  #onEnd(end: Exclude<ProcessEnd, { readonly kind: "stopped" }>, said: string): void {
    this.#diagnostics = said;
    this.#ready.reject(this.failure(end));
    const [code, signal] = end.kind === "exited" ? [end.code, null] : [null, end.kind === "signalled" ? end.signal : null];
    this.#ended.resolve(this.#stopping ? { kind: "stopped", code, signal } : end);
  }
}

function helperArguments(request: StageOneRequest, parent: number): readonly string[] {
  const { plan } = request;
  const kept = [FD.init, FD.args, FD.seccomp, ...request.inherited.map((_, index) => inheritedFd(index))];
  const option = (name: string, value: number | null): readonly string[] => (value === null ? [] : [name, String(value)]);
  return [
    ...["--parent", String(parent), "--channel", String(FD.channel)],
    ...["--scratch", request.scratch, "--scratch-options", `size=${plan.scratch.bytes},nr_inodes=${plan.scratch.inodes},mode=0755`],
    ...request.ports.flatMap((port) => ["--listen", String(port)]),
    ...kept.flatMap((fd) => ["--keep", String(fd)]),
    ...request.entrances.flatMap((_, index) => ["--join", String(inheritedFd(request.inherited.length + index))]),
    ...option("--processes", plan.processes),
    ...option("--files", plan.files),
    ...option("--watch-memory", plan.watchedBytes),
    ...request.cores.flatMap((core) => ["--cpu", String(core)]),
    ...["--", request.bwrapPath, "--args", String(FD.args), "--", request.initPath, "--fd", String(FD.init)],
  ];
}

function hintFor(said: string): { readonly hint?: string } {
  if (/namespaces: (Operation not permitted|Permission denied)|uid_map|setting up uid map/i.test(said))
    return { hint: "unprivileged user namespaces are not permitted here: agentkernel doctor says how to permit them" };
  if (/namespaces: No space left/i.test(said)) return { hint: "raise sysctl user.max_user_namespaces and user.max_net_namespaces" };
  return {};
}

export async function raceSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
