import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { background, ignore } from "../base/background.ts";
import { timestamp } from "../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { DetachedExec, DetachedLogs } from "../schema/api.ts";
import type { SandboxExec } from "./exec.ts";
import type { StoredExec } from "../schema/stored-exec.ts";
import type { DetachedRepository } from "./record.ts";

/** Bytes kept of each stream of a detached command; what comes after is read and dropped, so that the command never blocks. */
const LOG_BYTES = 16 * 1024 ** 2;
/** Ended commands that are remembered, with their output; of more, the oldest are forgotten. */
const MAX_ENDED = 100;
/** ms that the last output of commands whose sandbox has ended may take to its file */
const SETTLE_MS = 1_000;
const TRUNCATED = Buffer.from("\n[output truncated by agentkernel]\n");

export type DetachedOptions = {
  readonly sandbox: { readonly uuid: string; readonly name: string };
  readonly directory: string;
  readonly repository: DetachedRepository;
  readonly log: Log;
};

/** The detached commands of one sandbox: their state in the store, their output in files; both outlive the sandbox's end and ours. */
export class DetachedExecs {
  readonly #options: DetachedOptions;
  /** that we launched and that have not ended */
  readonly #running = new Map<string, SandboxExec>();
  readonly #settling = new Set<Promise<void>>();

  constructor(options: DetachedOptions) {
    this.#options = options;
  }

  /** Takes a launched command over: its stdin is closed, its output collected. */
  async adopt(exec: SandboxExec, command: readonly string[], startedAt: number): Promise<DetachedExec> {
    const { repository, sandbox, directory, log } = this.#options;
    // the command need not read it, and may be gone
    exec.stdin.on("error", () => undefined);
    exec.stdin.end();
    const stored: StoredExec = {
      id: exec.id,
      sandboxUuid: sandbox.uuid,
      command: [...command],
      pid: exec.pid,
      status: "running",
      exitCode: null,
      startedAt,
    };
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await this.#makeRoom();
      repository.insert(stored);
    } catch (error) {
      // nobody would ever hear of it
      exec.kill("SIGKILL");
      exec.stdout.resume();
      exec.stderr.resume();
      throw error;
    }
    this.#running.set(exec.id, exec);
    const collected = Promise.all([this.#collect(exec.id, "stdout", exec.stdout), this.#collect(exec.id, "stderr", exec.stderr)]);
    const settled = Promise.all([exec.exited, collected]).then(
      ([end]) => this.#settle(exec.id, end.code === 0 ? "completed" : "failed", end.code),
      (error: unknown) => {
        log.warn("a detached command was lost", { exec: exec.id, error: messageOf(error) });
        this.#settle(exec.id, "failed", null);
      },
    );
    background("end of a detached command", settled, log);
    this.#settling.add(settled);
    ignore(
      settled.finally(() => this.#settling.delete(settled)),
      "logged above",
    );
    return this.#shown(stored);
  }

  /** Resolves when the ends of all that ran are known, or at the latest after a moment; their sandbox has ended. */
  async settled(): Promise<void> {
    if (this.#settling.size === 0) return;
    await Promise.race([Promise.allSettled(this.#settling), delay(SETTLE_MS, undefined, { ref: false })]);
  }

  list(): readonly DetachedExec[] {
    return this.#options.repository.list(this.#options.sandbox.uuid).map((stored) => this.#shown(stored));
  }

  /** @throws NOT_FOUND */
  get(id: string): DetachedExec {
    return this.#shown(this.#find(id));
  }

  async logs(id: string, stream?: "stdout" | "stderr"): Promise<DetachedLogs> {
    this.#find(id);
    return {
      ...(stream === "stderr" ? {} : { stdout: await this.#read(id, "stdout") }),
      ...(stream === "stdout" ? {} : { stderr: await this.#read(id, "stderr") }),
    };
  }

  /** One that has ended stays ended. @throws NOT_FOUND, CONFLICT when another process launched it */
  kill(id: string): void {
    const { status } = this.#find(id);
    const running = this.#running.get(id);
    if (running !== undefined) running.kill("SIGKILL");
    else if (status === "running") throw new AppError("CONFLICT", `the command ${id} belongs to another agentkernel process`);
  }

  #find(id: string): StoredExec {
    const { repository, sandbox } = this.#options;
    const found = repository.get(sandbox.uuid, id);
    if (found === undefined) throw new AppError("NOT_FOUND", `sandbox ${sandbox.name} has no detached command ${id}`);
    return found;
  }

  #shown({ id, command, pid, status, exitCode, startedAt }: StoredExec): DetachedExec {
    const { name } = this.#options.sandbox;
    return { id, sandbox: name, command: [...command], pid, status, exit_code: exitCode, started_at: timestamp(startedAt) };
  }

  async #makeRoom(): Promise<void> {
    const { repository, sandbox } = this.#options;
    const ended = repository.list(sandbox.uuid).filter(({ status }) => status !== "running");
    for (const { id } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED + 1))) {
      repository.remove(id);
      for (const stream of ["stdout", "stderr"] as const) await rm(this.#file(id, stream), { force: true });
    }
  }

  #settle(id: string, status: "completed" | "failed", exitCode: number | null): void {
    this.#running.delete(id);
    this.#options.repository.finish(id, status, exitCode);
  }

  /** A full disk costs the rest of the output, never the command: it is read to its end whatever becomes of it. */
  async #collect(id: string, stream: "stdout" | "stderr", source: Readable): Promise<void> {
    const lost = (error: unknown): void => {
      this.#options.log.warn("the output of a detached command cannot be kept", { exec: id, stream, error: messageOf(error) });
    };
    let file = await open(this.#file(id, stream), "w", 0o600).catch(lost);
    try {
      let left = LOG_BYTES;
      for await (const chunk of source as AsyncIterable<Buffer>) {
        if (file === undefined || left < 0) continue;
        const isCut = chunk.length > left;
        const kept = isCut ? Buffer.concat([chunk.subarray(0, left), TRUNCATED]) : chunk;
        left = isCut ? -1 : left - chunk.length;
        try {
          await file.writeFile(kept);
        } catch (error) {
          lost(error);
          await file.close().catch(lost);
          file = undefined;
        }
      }
    } finally {
      await file?.close().catch(lost);
    }
  }

  async #read(id: string, stream: "stdout" | "stderr"): Promise<string> {
    try {
      await using file = await open(this.#file(id, stream), "r");
      return await file.readFile("utf8");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return "";
      throw error;
    }
  }

  #file(id: string, stream: "stdout" | "stderr"): string {
    return join(this.#options.directory, `${id}.${stream}`);
  }
}
