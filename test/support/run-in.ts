import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { BackendSandbox, ExecRequest } from "../../src/sandbox/backend.ts";
import { waitFor } from "./wait-for.ts";

export type RunInResult = {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
};

export type RunInOptions = Partial<Omit<ExecRequest, "argv">> & { readonly input?: string | Buffer; readonly timeoutMs?: number };

export const INSIDE_ENV = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/home/agent", LANG: "C.UTF-8" } as const;

/** Runs a command in a sandbox to its end. A string is a line for /bin/sh. */
export async function runIn(
  sandbox: BackendSandbox,
  command: string | readonly string[],
  options: RunInOptions = {},
): Promise<RunInResult> {
  const argv = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
  const signal = AbortSignal.timeout(options.timeoutMs ?? 20_000);
  const request = {
    argv,
    env: options.env ?? INSIDE_ENV,
    cwd: options.cwd ?? "/workspace",
    ...(options.tty === undefined ? {} : { tty: options.tty }),
  };
  const exec = await sandbox.exec(request, { signal });
  signal.addEventListener("abort", () => exec.kill("SIGKILL"), { once: true });
  exec.stdin.on("error", () => undefined);
  exec.stdin.end(options.input ?? "");
  const [stdout, stderr, exited] = await Promise.all([buffer(exec.stdout), buffer(exec.stderr), exec.exited]);
  return { stdout: stdout.toString(), stderr: stderr.toString(), ...exited };
}

/** Connects to a port inside, as soon as something listens there. */
export async function dialWhenUp(sandbox: BackendSandbox, port: number): Promise<Duplex> {
  return waitFor(async () => sandbox.dial(port, { signal: AbortSignal.timeout(20_000) }), { what: `a listener on port ${port}` });
}
