import { createWriteStream } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError, errnoOf, messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { DetachedExec, DetachedLogs } from "../schema/api.ts";
import type { SandboxExec } from "./exec.ts";

/** Bytes kept of each stream of a detached command; what comes after is read and dropped, so that the command never blocks. */
const LOG_BYTES = 16 * 1024 ** 2;
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
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    exec.stdin.end();
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

  async forget(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  #find(id: string): { state: DetachedExec; exec: SandboxExec } {
    const found = this.#known.get(id);
    if (found === undefined) throw new AppError("NOT_FOUND", `sandbox ${this.#sandbox} has no detached command ${id}`);
    return found;
  }

  #settle(id: string, status: "completed" | "failed", exitCode: number | null): void {
    const found = this.#known.get(id);
    if (found !== undefined) found.state = { ...found.state, status, exit_code: exitCode };
  }

  async #collect(id: string, stream: "stdout" | "stderr", source: Readable): Promise<void> {
    let left = LOG_BYTES;
    const cap = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        const kept = chunk.subarray(0, Math.max(0, left));
        const cut = left >= 0 && chunk.length > left;
        left -= chunk.length;
        done(null, cut ? Buffer.concat([kept, TRUNCATED]) : kept);
      },
    });
    await pipeline(source, cap, createWriteStream(this.#file(id, stream), { mode: 0o600 }));
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
