import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { buildGuest } from "../../scripts/build-guest.mjs";
import { connectInit, type InitClient } from "../../src/backends/init/client.ts";
import { guestProgram } from "../../src/backends/init/program.ts";
import { silentLog } from "../../src/base/log.ts";
import { type ChildHandle, startProcess } from "../../src/base/process.ts";
import type { BackendExec, ExecRequest, ExitStatus } from "../../src/sandbox/backend.ts";

export type RunningInit = AsyncDisposable & { readonly client: InitClient; readonly process: ChildHandle };

export type InitOptions = {
  /** the command that ends in init, from init's own argv; default: init alone, outside of any sandbox */
  readonly wrap?: (argv: readonly string[]) => [string, ...string[]];
  /** once init is built and before it is started */
  readonly prepare?: () => Promise<void>;
  readonly owner?: { readonly uid: number; readonly gid: number };
};

/** An init and a client that has greeted it. */
export async function startInit(options: InitOptions = {}): Promise<RunningInit> {
  buildGuest({ programs: ["init"] });
  await options.prepare?.();
  const process = startInitProcess(options);
  const client = await connectInit(process.pipe(3), { log: silentLog });
  return {
    client,
    process,
    [Symbol.asyncDispose]: async () => {
      await client.shutdown();
      await process.ended;
    },
  };
}

/** Only the process; its frames are the test's business. */
export function startInitProcess(options: InitOptions = {}): ChildHandle {
  buildGuest({ programs: ["init"] });
  const argv: [string, ...string[]] = [guestProgram("init"), "--fd", "3"];
  return startProcess({
    argv: options.wrap?.(argv) ?? argv,
    env: {},
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    ...(options.owner === undefined ? {} : { owner: options.owner }),
  });
}

/** Running or sleeping; a zombie is not. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) Z/s.test(stat);
}

export const INIT_ENV = { PATH: "/usr/local/bin:/usr/bin:/bin" } as const;

/** A request with everything but the command filled in. */
export function execRequest(argv: readonly string[], more: Partial<ExecRequest> = {}): ExecRequest {
  return { argv, env: INIT_ENV, cwd: "/", ...more };
}

export function shell(script: string, more: Partial<ExecRequest> = {}): ExecRequest {
  return execRequest(["/bin/sh", "-c", script], more);
}

export type Finished = { readonly status: ExitStatus; readonly stdout: string; readonly stderr: string };

/** Runs to the end, with this input, and collects both outputs. */
export async function runInInit(client: InitClient, request: ExecRequest, input = ""): Promise<Finished> {
  const exec = await client.exec(request, { signal: AbortSignal.timeout(20_000) });
  exec.stdin.end(input);
  return await finish(exec);
}

export async function finish(exec: BackendExec): Promise<Finished> {
  const [stdout, stderr, status] = await Promise.all([text(exec.stdout), text(exec.stderr), exec.exited]);
  return { status, stdout, stderr };
}

async function text(stream: Readable): Promise<string> {
  return Buffer.concat(await stream.toArray()).toString();
}
