import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** An ordinary user, other than root, with a home directory. */
export type TestUser = AsyncDisposable & {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** 0700, the user's own; removed with the scope */
  readonly home: string;
};

export type RunResult = {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

export type RunOptions = {
  /** the whole environment besides HOME, PATH, USER, LOGNAME */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Buffer;
  /** then SIGKILL to the command's group (ms) */
  readonly timeoutMs?: number;
};

const NAME = "agentkernel-test";

/**
 * Root makes the user `agentkernel-test` once a machine and keeps it (removing users from a running suite would race with the other
 * test files); whoever is no root is the ordinary user.
 */
export async function testUser(): Promise<TestUser> {
  const { name, uid, gid } = process.getuid?.() === 0 ? ensureUser() : ourselves();
  const home = await mkdtemp(join(tmpdir(), "agentkernel-home-"));
  await chmod(home, 0o700);
  if (process.getuid?.() === 0) await chown(home, uid, gid);
  return { name, uid, gid, home, [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true, maxRetries: 3 }) };
}

function ourselves(): { name: string; uid: number; gid: number } {
  return { name: process.env["USER"] ?? "user", uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

function ensureUser(): { name: string; uid: number; gid: number } {
  const known = lookUp();
  if (known !== undefined) return known;
  // two files may come here at once: whoever loses finds the user that the other has made
  const args = ["--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", NAME];
  const made = spawnSync("useradd", args, { encoding: "utf8" });
  const now = lookUp();
  if (now === undefined) throw new Error(`useradd ${NAME} failed: ${made.error?.message ?? made.stderr.trim()}`);
  return now;
}

function lookUp(): { name: string; uid: number; gid: number } | undefined {
  const row = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find(([name]) => name === NAME);
  return row === undefined ? undefined : { name: NAME, uid: Number(row[2]), gid: Number(row[3]) };
}

/** Runs a command as the user, in a session of its own, with nothing of our environment but PATH. */
export async function runAs(user: TestUser, command: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const owner = process.getuid?.() === 0 ? { uid: user.uid, gid: user.gid } : {};
  const path = process.env["PATH"] ?? "/usr/bin:/bin";
  const child = spawn(command[0], command.slice(1), {
    ...owner,
    detached: true,
    cwd: options.cwd ?? user.home,
    env: { HOME: user.home, PATH: path, USER: user.name, LOGNAME: user.name, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  // a command that ends without reading its input closes the pipe, which is its right
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; signal: NodeJS.Signals | null }>();
  child.once("error", reject);
  child.once("close", (code, signal) => resolve({ code, signal }));
  const timer = setTimeout(() => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, options.timeoutMs ?? 60_000);
  try {
    const { code, signal } = await promise;
    return { status: code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
  } finally {
    clearTimeout(timer);
  }
}
