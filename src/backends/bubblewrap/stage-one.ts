import { Socket as DatagramSocket } from "node:dgram";
import { closeSync, openSync } from "node:fs";
import { Server } from "node:net";
import type { Duplex } from "node:stream";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import { startProcess, type ChildHandle, type ChildStdio, type ProcessEnd } from "../../base/process.ts";
import type { FileOwner, SandboxListeners } from "../../sandbox/backend.ts";
import type { LimitPlan } from "./limit-plan.ts";

/** Exit codes of guest/net-helper.c. */
export const HELPER_EXIT = { failed: 125, memory: 120 } as const;

/** Descriptors of the child: 0 and 1 nothing, 2 diagnostics, then these; what bwrap is to inherit follows. */
const FD = { channel: 3, init: 4, args: 5, seccomp: 6, first: 7 } as const;
export const SECCOMP_FD = FD.seccomp;

const MAX_DIAGNOSTICS = 16 * 1024;
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
  /** our descriptors for bwrap, in order from {@link inheritedFd} 0 */
  readonly inherited: readonly number[];
  readonly seccompFd: number;
  /** what bwrap reads from {@link FD.args} */
  readonly bwrapOptions: Buffer;
  /** control files of the groups that it joins before anything else */
  readonly groupFds: readonly number[];
};

/** The number that an inherited descriptor has in the child. */
export function inheritedFd(index: number): number {
  return FD.first + index;
}

/** A descriptor for every socket and pipe of one start, tried beforehand: short of them, Node takes sockets without a word. */
export function assertDescriptors(count: number): void {
  const taken: number[] = [];
  try {
    for (let i = 0; i < count; i += 1) taken.push(openSync("/dev/null", "r"));
  } catch (error) {
    if (errnoOf(error) !== "EMFILE" && errnoOf(error) !== "ENFILE") throw error;
    throw new AppError("LIMIT_EXCEEDED", "agentkernel is out of file descriptors for another sandbox", {
      cause: error,
      hint: "raise the limit (ulimit -n) or stop some sandboxes",
    });
  } finally {
    for (const fd of taken) closeSync(fd);
  }
}

/** Stage 1 of one sandbox, and after `go` the process that everything inside hangs on. */
export class StageOne {
  readonly #child: ChildHandle;
  readonly #tcp = new Map<number, Server>();
  #dns: DatagramSocket | undefined;
  #taken = false;
  #diagnostics = "";
  readonly #ready = Promise.withResolvers<void>();
  readonly #diagnosed: Promise<void>;

  constructor(request: StageOneRequest) {
    this.#child = startProcess({
      argv: [request.helperPath, ...helperArguments(request)],
      env: {},
      // it must not hold a directory of the caller's
      cwd: "/",
      stdio: stdioOf(request),
      graceMs: STOP_GRACE_MS,
      ...(request.owner === undefined ? {} : { owner: request.owner }),
    });
    this.#diagnosed = this.#child.pid === undefined ? Promise.resolve() : this.#readDiagnostics();
    if (this.#child.pid !== undefined) this.#giveOptions(request.bwrapOptions);
    this.#child.onMessage((message, handle) => this.#onMessage(message, handle));
    void this.#child.ended.then(async (end) => {
      await this.#diagnosed;
      this.#ready.reject(this.failure(end));
    });
    // a start that is given up before it was awaited
    this.#ready.promise.catch(() => undefined);
  }

  /** Of the process on the host that holds the sandbox together. */
  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new AppError("SANDBOX_START_FAILED", "stage 1 of the sandbox could not be started");
    return pid;
  }

  /** settles when everything inside is gone and reaped */
  get ended(): Promise<ProcessEnd> {
    return this.#child.ended;
  }

  /** The socket to the init. */
  get initChannel(): Duplex {
    return this.#child.pipe(FD.init);
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
  async go(): Promise<void> {
    try {
      await this.#child.send({ go: 1 });
    } catch (cause) {
      throw new AppError("SANDBOX_START_FAILED", "stage 1 of the sandbox ended before it was told to start", { cause });
    }
  }

  /** What stage 1 or bwrap said on its way out, as an error. */
  failure(end: ProcessEnd): AppError {
    if (end.kind === "failed")
      return new AppError("SANDBOX_START_FAILED", `cannot start stage 1: ${messageOf(end.error)}`, { cause: end.error });
    const said = this.#diagnostics.trim().split("\n").filter(Boolean).slice(-3).join("; ");
    const how = end.kind === "signalled" ? `was ended by ${end.signal}` : end.kind === "exited" ? `exited with ${end.code}` : "was stopped";
    return new AppError("SANDBOX_START_FAILED", `the sandbox did not start: ${said === "" ? `stage 1 ${how}` : said}`, hintFor(said));
  }

  /** Resolves when what stage 1 and bwrap had to say has been read; after `ended`. */
  diagnosed(): Promise<void> {
    return this.#diagnosed;
  }

  /** Kills everything inside and gives back what was not handed over; true when the last process was seen gone. */
  async close(): Promise<boolean> {
    const end = await this.#child.stop();
    this.#closeListeners();
    if (this.#child.pid === undefined) return true;
    this.#child.disconnect();
    this.initChannel.destroy();
    this.#child.pipe(FD.args).destroy();
    // killed itself, it could not wait for what is inside
    return !(end.kind === "signalled" || (end.kind === "stopped" && end.signal !== null));
  }

  /** At once, so that bwrap makes its mounts while the network is handed over. */
  #giveOptions(options: Buffer): void {
    const pipe = this.#child.pipe(FD.args);
    // a stage that died is told by its end, not by this pipe
    pipe.on("error", () => pipe.destroy());
    pipe.end(options);
    pipe.resume();
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

  #onMessage(message: unknown, handle: unknown): void {
    if (typeof message !== "object" || message === null) return;
    if ("tcp" in message && typeof message.tcp === "number" && handle instanceof Server) this.#tcp.set(message.tcp, handle);
    else if ("dns" in message && handle instanceof DatagramSocket) this.#dns = handle;
    else if ("ready" in message) this.#ready.resolve();
  }

  async #readDiagnostics(): Promise<void> {
    const stream = this.#child.stderr;
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      this.#diagnostics = (this.#diagnostics + text).slice(-MAX_DIAGNOSTICS);
    });
    await new Promise<void>((resolve) => {
      stream.once("close", resolve);
      stream.once("error", () => stream.destroy());
    });
  }
}

function helperArguments(request: StageOneRequest): readonly string[] {
  const { plan } = request;
  const kept = [FD.init, FD.args, FD.seccomp, ...request.inherited.map((_, index) => inheritedFd(index))];
  const option = (name: string, value: number | null): readonly string[] => (value === null ? [] : [name, String(value)]);
  return [
    ...["--parent", String(process.pid), "--channel", String(FD.channel)],
    ...["--scratch", request.scratch, "--scratch-options", `size=${plan.scratch.bytes},nr_inodes=${plan.scratch.inodes},mode=0755`],
    ...request.ports.flatMap((port) => ["--listen", String(port)]),
    ...kept.flatMap((fd) => ["--keep", String(fd)]),
    ...request.groupFds.flatMap((_, index) => ["--join", String(inheritedFd(request.inherited.length + index))]),
    ...option("--processes", plan.processes),
    ...option("--files", plan.files),
    ...option("--watch-memory", plan.watchedBytes),
    ...request.cores.flatMap((core) => ["--cpu", String(core)]),
    ...["--", request.bwrapPath, "--args", String(FD.args), "--", request.initPath, "--fd", String(FD.init)],
  ];
}

function stdioOf(request: StageOneRequest): readonly ChildStdio[] {
  return ["ignore", "ignore", "pipe", "ipc", "pipe", "pipe", request.seccompFd, ...request.inherited, ...request.groupFds];
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
