import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The command as users run it: the shell front end in the checkout. */
export const AGENTKERNEL: string = fileURLToPath(new URL("../../bin/agentkernel", import.meta.url));

export type CliResult = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
};

export type CliOptions = {
  /** another copy of the front, for the installed package; default: the checkout's */
  readonly program?: string;
  readonly cwd?: string;
  /** state directory; every test has its own */
  readonly home: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
};

/** An own state directory below `dir` that sandbox uids may pass through. */
export function stateHome(dir: string): string {
  const home = join(dir, "state");
  mkdirSync(home, { recursive: true });
  chmodSync(dir, 0o711);
  chmodSync(home, 0o711);
  return home;
}

/** Starts a command line; the caller waits for it. */
export function startCli(args: readonly string[], options: CliOptions): ChildProcess {
  return spawn(options.program ?? AGENTKERNEL, [...args], {
    cwd: options.cwd ?? tmpdir(),
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: options.home,
      AGENTKERNEL_HOME: options.home,
      XDG_CONFIG_HOME: join(options.home, "config"),
      ...options.env,
    },
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.owner === undefined ? {} : options.owner),
  });
}

/** Runs a command line to its end; a non-zero exit is a result. Killed with its children past the deadline. */
export async function cli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const child = startCli(args, options);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 60_000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (...end: [number | null, NodeJS.Signals | null]) => resolve(end));
  });
  clearTimeout(timer);
  return { code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}
