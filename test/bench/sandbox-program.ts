/** The library under load, in a process of its own: sandboxes through the app, as `serve` and `run` make them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { systemUser } from "../../src/app/caller.ts";
import { createApp } from "../../src/app/create-app.ts";
import type { RunningExec } from "../../src/app/facade.ts";
import { environmentFrom } from "../../src/config/env.ts";
import { configFrom } from "../../src/config/config-from.ts";
import { statePaths } from "../../src/config/paths.ts";
import { prepareState } from "../../src/config/prepare-state.ts";
import { descendants } from "./processes.ts";
import { parameters, serve } from "./program.ts";

export type Lifecycle = { readonly ours: readonly number[]; readonly plain: readonly number[] };
export type Memory = { readonly perSandboxBytes: number; readonly processesBytes: number; readonly ownBytes: number };

const { home } = parameters<{ readonly home: string }>();
const uid = process.getuid?.() ?? 0;
const env = environmentFrom({ AGENTKERNEL_HOME: home, HOME: home, XDG_CONFIG_HOME: home });
const paths = statePaths(env, uid);
await prepareState(paths, uid);
const app = await createApp({ config: configFrom({}, { env, uid }).config, paths, env });
const caller = systemUser();
const cancel = { signal: new AbortController().signal };
let made = 0;

async function create(): Promise<string> {
  made += 1;
  const name = `bench-${made}`;
  await app.sandboxes.create(caller, { name, workspace: null }, cancel);
  return name;
}

async function ended(exec: RunningExec): Promise<void> {
  exec.stdin.end();
  exec.stdout.resume();
  exec.stderr.resume();
  const { code } = await exec.exited;
  if (code !== 0) throw new Error(`the command ended with ${code}`);
}

/** create → first output → removed, through the app. */
async function ours(): Promise<number> {
  const startedAt = performance.now();
  const name = await create();
  const exec = await app.sandboxes.exec(caller, name, { command: ["echo", "x"] }, cancel);
  exec.stdin.end();
  exec.stderr.resume();
  await once(exec.stdout, "readable");
  await ended(exec);
  await app.sandboxes.remove(caller, name);
  return performance.now() - startedAt;
}

/** bwrap alone: its namespaces, a root of the host's /usr, the output, the end. No network, no limits, no record. */
const BWRAP = [
  ...["--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"],
  ...["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", "echo", "x"],
];
async function plain(): Promise<number> {
  const startedAt = performance.now();
  const child = spawn("bwrap", BWRAP, { stdio: ["ignore", "pipe", "inherit"], cwd: "/" });
  child.stdout.resume();
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`bwrap ended with ${code}`);
  return performance.now() - startedAt;
}

async function lifecycle({ warmUp, times }: { readonly warmUp: number; readonly times: number }): Promise<Lifecycle> {
  for (let i = 0; i < warmUp; i += 1) {
    await ours();
    await plain();
  }
  const result = { ours: [] as number[], plain: [] as number[] };
  for (let i = 0; i < times; i += 1) {
    result.ours.push(await ours());
    result.plain.push(await plain());
  }
  return result;
}

/** ms from the call to the known exit of `true`, in one running sandbox. */
async function execs({ warmUp, times }: { readonly warmUp: number; readonly times: number }): Promise<readonly number[]> {
  const name = await create();
  const durations: number[] = [];
  for (let i = 0; i < warmUp + times; i += 1) {
    const startedAt = performance.now();
    await ended(await app.sandboxes.exec(caller, name, { command: ["true"] }, cancel));
    if (i >= warmUp) durations.push(performance.now() - startedAt);
  }
  await app.sandboxes.remove(caller, name);
  return durations;
}

/** `count` commands at once in one sandbox. */
async function parallelExecs({ count, command }: { readonly count: number; readonly command: readonly string[] }): Promise<number> {
  const name = await create();
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: count }, async () => ended(await app.sandboxes.exec(caller, name, { command: [...command] }, cancel))),
  );
  const ms = performance.now() - startedAt;
  await app.sandboxes.remove(caller, name);
  return ms;
}

/** `count` sandboxes at once, each for one command; until the last command has ended. */
async function parallelRuns({ count, command }: { readonly count: number; readonly command: readonly string[] }): Promise<number> {
  const startedAt = performance.now();
  const runs = await Promise.all(
    Array.from({ length: count }, async () => {
      const run = await app.sandboxes.run(caller, { command: [...command], workspace: null }, cancel);
      await ended(run);
      return run;
    }),
  );
  const ms = performance.now() - startedAt;
  await Promise.all(runs.map((run) => run.finished));
  return ms;
}

/** What `count` idle sandboxes hold: their processes' proportional share, and what our own process grew by. */
async function memory({ count }: { readonly count: number }): Promise<Memory> {
  globalThis.gc?.();
  const before = pss(process.pid);
  const names: string[] = [];
  for (let i = 0; i < count; i += 1) names.push(await create());
  globalThis.gc?.();
  const ownBytes = Math.max(0, pss(process.pid) - before);
  const processesBytes = descendants(process.pid).reduce((sum, pid) => sum + pss(pid), 0);
  for (const name of names) await app.sandboxes.remove(caller, name);
  return { perSandboxBytes: (ownBytes + processesBytes) / count, processesBytes: processesBytes / count, ownBytes: ownBytes / count };
}

function pss(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? 0) * 1024;
}

serve({}, { lifecycle, execs, parallelExecs, parallelRuns, memory }, async () => await app[Symbol.asyncDispose]());
