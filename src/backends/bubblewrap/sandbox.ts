import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { BackendExec, BackendSandbox, EndReason, EnforcedBy, ExecRequest } from "../../sandbox/backend.ts";
import type { InitClient } from "../init/client.ts";
import type { ControlGroup } from "./cgroup.ts";
import type { LimitName } from "./limit-plan.ts";
import { HELPER_EXIT, type StageOne } from "./stage-one.ts";

/** how long the kernel gets between closing the init's socket and telling us how it ended */
const LAST_WORD_MS = 10_000;
const MEMORY_CHECK_MS = 250;
const DRAIN_MS = 500;

const OUT_OF_MEMORY: EndReason = { kind: "memory", message: "the sandbox used more memory than its limit" };

export type SandboxParts = {
  readonly stage: StageOne;
  readonly init: InitClient;
  readonly group: ControlGroup | undefined;
  readonly limits: Readonly<Record<LimitName, EnforcedBy>>;
  /** undone, in reverse, when nothing runs any more */
  readonly cleanUp: AsyncDisposableStack;
  readonly log: Log;
};

/** A running sandbox: stage 1's process, the init's socket, and what has to be given back at the end. */
export class BubblewrapSandbox implements BackendSandbox {
  readonly ended: Promise<EndReason>;
  readonly limits: Readonly<Record<LimitName, EnforcedBy>>;
  readonly #parts: SandboxParts;
  readonly #settled = Promise.withResolvers<EndReason>();
  #reason: EndReason | undefined;
  #ending: Promise<void> | undefined;
  #memoryTimer: NodeJS.Timeout | undefined;
  /** a reading failed and was told; the next ones are looked at again all the same */
  #isUnreadable = false;

  constructor(parts: SandboxParts) {
    this.#parts = parts;
    this.limits = parts.limits;
    this.ended = this.#settled.promise;
    void this.#watch();
    if (parts.group !== undefined && parts.limits.memory === "cgroup")
      this.#memoryTimer = setInterval(() => this.#checkMemory(), MEMORY_CHECK_MS).unref();
  }

  async exec(request: ExecRequest, options: { readonly signal: AbortSignal }): Promise<BackendExec> {
    this.#assertRunning();
    const exec = await this.#parts.init.exec(request, options);
    return {
      stdin: exec.stdin,
      stdout: exec.stdout,
      stderr: exec.stderr,
      pid: exec.pid,
      exited: this.#exited(exec),
      kill: (signal) => exec.kill(signal),
      resize: (size) => exec.resize(size),
    };
  }

  async dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex> {
    this.#assertRunning();
    return this.#parts.init.dial(port, options);
  }

  async stop(reason: EndReason): Promise<void> {
    await this.#end(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end({ kind: "stopped", message: "the sandbox was disposed of" });
  }

  #assertRunning(): void {
    if (this.#reason !== undefined) throw new AppError("SANDBOX_ENDED", `the sandbox has ended: ${this.#reason.message}`);
  }

  /** A command that the kernel killed for memory takes the sandbox with it, and that is known before its exit is told. */
  #exited(exec: BackendExec): BackendExec["exited"] {
    const exited = exec.exited.then((status) => {
      if (status.code !== 0) this.#checkMemory();
      return status;
    });
    // whoever never asks must not bring the process down
    exited.catch(() => undefined);
    return exited;
  }

  #checkMemory(): void {
    if (this.#reason === undefined && this.#wasOutOfMemory()) void this.#end(OUT_OF_MEMORY);
  }

  #wasOutOfMemory(): boolean {
    try {
      const kills = this.#parts.group?.oomKills() ?? 0;
      this.#isUnreadable = false;
      return kills > 0;
    } catch (error) {
      if (this.#isUnreadable) return false;
      this.#isUnreadable = true;
      this.#parts.log.warn("cannot read the sandbox's memory events", { error: String(error) });
      return false;
    }
  }

  /** The end that nobody asked for. */
  async #watch(): Promise<void> {
    const { stage, init } = this.#parts;
    const ended = stage.ended.then(() => "ended" as const);
    const first = await Promise.race([ended, init.closed.then(() => "closed" as const)]);
    if (this.#reason !== undefined) return;
    if (first === "closed") {
      // usually the process is about to end too, and says why
      const second = await Promise.race([ended, delay(LAST_WORD_MS, "late" as const, { ref: false })]);
      if (second === "late") return this.#end({ kind: "backend", message: "the connection to the sandbox's init broke" });
    } else {
      // what commands wrote before the end may still lie in the socket; a reader that has stopped reading is not waited for
      await Promise.race([init.closed, delay(DRAIN_MS, undefined, { ref: false })]);
    }
    await this.#end(await this.#reasonOfEnd());
  }

  async #reasonOfEnd(): Promise<EndReason> {
    const end = await this.#parts.stage.ended;
    if (this.#wasOutOfMemory() || (end.kind === "exited" && end.code === HELPER_EXIT.memory)) return OUT_OF_MEMORY;
    if (end.kind === "exited" && end.code === 0) return { kind: "exited", message: "the sandbox's init exited" };
    if (end.kind === "exited" && end.code < 128) return { kind: "backend", message: this.#parts.stage.failure(end).message };
    return { kind: "killed", message: "the sandbox was killed from outside" };
  }

  #end(reason: EndReason): Promise<void> {
    this.#reason ??= reason;
    this.#ending ??= this.#finish(this.#reason);
    return this.#ending;
  }

  async #finish(reason: EndReason): Promise<void> {
    clearInterval(this.#memoryTimer);
    try {
      await this.#parts.cleanUp.disposeAsync();
    } catch (error) {
      this.#parts.log.error("a sandbox was not cleaned up completely", { error: String(error) });
    }
    this.#settled.resolve(reason);
  }
}
