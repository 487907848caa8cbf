import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { AppError, errnoOf, messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { DetachedExec, DetachedLogs } from "../schema/api.ts";
import type { SandboxExec } from "./exec.ts";

/** Bytes kept of each stream of a detached command; what comes after is read and dropped, so that the command never blocks. */
const LOG_BYTES = 16 * 1024 ** 2;
/** Ended commands that are remembered, with their output; of more, the oldest are forgotten. */
const MAX_ENDED = 100;
const TRUNCATED = Buffer.from("\n[output truncated by agentkernel]\n");

/** The detached commands of one sandbox: their state in memory, their output in files that outlive them. */
export class DetachedExecs {
  readonly #directory: string;
  readonly #sandbox: string;
  readonly #log: Log;
  readonly #known = new Map<string, { state: DetachedExec; exec: SandboxExec }>();

  constructor(sandbox: string, directory: string, log: Log) {
    this.#sandbox = sandbox;
    this.#directory = directory;
    this.#log = log;
  }

  /** Takes a launched command over: its stdin is closed, its output collected. */
  async adopt(exec: SandboxExec, command: readonly string[], startedAt: string): Promise<DetachedExec> {
    // the command need not read it, and may be gone
    exec.stdin.on("error", () => undefined);
    exec.stdin.end();
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      // nobody would ever hear of it
      exec.kill("SIGKILL");
      exec.stdout.resume();
      exec.stderr.resume();
      throw error;
    }
    await this.#makeRoom();
    const state: DetachedExec = {
      id: exec.id,
      sandbox: this.#sandbox,
      command: [...command],
      pid: exec.pid,
      status: "running",
      exit_code: null,
      started_at: startedAt,
    };
    this.#known.set(exec.id, { state, exec });
    const collected = Promise.all([this.#collect(exec.id, "stdout", exec.stdout), this.#collect(exec.id, "stderr", exec.stderr)]);
    Promise.all([exec.exited, collected]).then(
      ([end]) => this.#settle(exec.id, end.code === 0 ? "completed" : "failed", end.code),
      (error: unknown) => {
        this.#log.warn("a detached command was lost", { exec: exec.id, error: messageOf(error) });
        this.#settle(exec.id, "failed", null);
      },
    );
    return state;
  }

  list(): readonly DetachedExec[] {
    return [...this.#known.values()].map(({ state }) => state);
  }

  /** @throws NOT_FOUND */
  get(id: string): DetachedExec {
    return this.#find(id).state;
  }

  async logs(id: string, stream?: "stdout" | "stderr"): Promise<DetachedLogs> {
    this.#find(id);
    return {
      ...(stream === "stderr" ? {} : { stdout: await this.#read(id, "stdout") }),
      ...(stream === "stdout" ? {} : { stderr: await this.#read(id, "stderr") }),
    };
  }

  kill(id: string): void {
    this.#find(id).exec.kill("SIGKILL");
  }

  #find(id: string): { state: DetachedExec; exec: SandboxExec } {
    const found = this.#known.get(id);
    if (found === undefined) throw new AppError("NOT_FOUND", `sandbox ${this.#sandbox} has no detached command ${id}`);
    return found;
  }

  async #makeRoom(): Promise<void> {
    const ended = [...this.#known].filter(([, { state }]) => state.status !== "running").map(([id]) => id);
    for (const id of ended.slice(0, Math.max(0, ended.length - MAX_ENDED + 1))) {
      this.#known.delete(id);
      for (const stream of ["stdout", "stderr"] as const) await rm(this.#file(id, stream), { force: true });
    }
  }

  #settle(id: string, status: "completed" | "failed", exitCode: number | null): void {
    const found = this.#known.get(id);
    if (found !== undefined) found.state = { ...found.state, status, exit_code: exitCode };
  }

  /** A full disk costs the rest of the output, never the command: it is read to its end whatever becomes of it. */
  async #collect(id: string, stream: "stdout" | "stderr", source: Readable): Promise<void> {
    const lost = (error: unknown): void => {
      this.#log.warn("the output of a detached command cannot be kept", { exec: id, stream, error: messageOf(error) });
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
    return join(this.#directory, `${id}.${stream}`);
  }
}
