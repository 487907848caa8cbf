import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { AGENTKERNEL } from "../support/cli.ts";
import type { Runner } from "./users.ts";

/** `agentkernel serve` as a user starts it. */
export type Served = AsyncDisposable & {
  readonly url: string;
  /** ms from spawn to the line that says it listens */
  readonly readyMs: number;
  /** bytes resident now */
  rss(): number;
};

const READY_MS = 20_000;
const STOP_MS = 20_000;

export async function startServer({ owner, home }: Runner): Promise<Served> {
  const startedAt = performance.now();
  const child = spawn(AGENTKERNEL, ["serve", "--port", "0"], {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", HOME: home, AGENTKERNEL_HOME: home, XDG_CONFIG_HOME: `${home}/config` },
    ...owner,
  });
  const url = await listening(child);
  const readyMs = performance.now() - startedAt;
  return {
    url,
    readyMs,
    rss: () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "latin1"))?.[1] ?? 0) * 1024,
    [Symbol.asyncDispose]: () => stop(child),
  };
}

async function listening(child: ChildProcess): Promise<string> {
  const found = Promise.withResolvers<string>();
  let said = "";
  const take = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-4096);
    const url = /listening on (http:\/\/\S+)/.exec(said)?.[1];
    if (url !== undefined) found.resolve(url);
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  child.once("exit", (code) => found.reject(new Error(`serve ended with ${code}: ${said}`)));
  child.once("error", found.reject);
  const timer = setTimeout(() => found.reject(new Error(`serve was not ready within ${READY_MS} ms: ${said}`)), READY_MS);
  try {
    return await found.promise;
  } catch (error) {
    await stop(child);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exit;
  clearTimeout(timer);
}
