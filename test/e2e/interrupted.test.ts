import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AGENTKERNEL, cli, startCli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

let base: string;
let home: string;
let project: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-int-"));
  home = stateHome(base);
  project = join(base, "project");
  mkdirSync(project);
});

afterEach(() => rmSync(base, { recursive: true, force: true }));

const folders = (): readonly string[] => (existsSync(join(home, "sandboxes")) ? readdirSync(join(home, "sandboxes")) : []);

function start(...args: string[]) {
  const child = startCli(args, { home, cwd: project });
  const seen = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => (seen.stdout += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (seen.stderr += chunk.toString()));
  const closed = new Promise<number | string | null>((resolve) => child.once("close", (code, signal) => resolve(code ?? signal)));
  return { child, seen, closed };
}

describe("an interrupted run", requires("bwrap"), () => {
  it("leaves nothing at whatever moment of its start, though the signal comes twice", async () => {
    expect((await cli(["run", "--", "true"], { home, cwd: project })).code).toBe(0);
    // moments on a grid: each is another step of the start, on every machine some of them
    for (let ms = 40; ms <= 800; ms += 95) {
      const { child, seen, closed } = start("run", "--", "sleep", "30");
      await delay(ms);
      child.kill("SIGINT");
      await delay(15);
      child.kill("SIGINT");
      const end = await closed;
      expect([130, "SIGINT"]).toContain(end);
      // on a busy machine the second may come so late that it is a second wish
      expect(seen.stderr).toMatch(/^(?:agentkernel: finishing first; once more to stop at once\n)?$/);
      expect(folders()).toEqual([]);
    }
  }, 60_000);

  it("hands the signal to the command with --json too", async () => {
    const { child, closed, seen } = start(
      "run",
      "--json",
      "--",
      "sh",
      "-c",
      "trap 'echo got; exit 9' TERM; echo > ready; while :; do sleep 0.05; done",
    );
    await waitFor(
      () => existsSync(join(project, "ready")) || folders().some((uuid) => existsSync(join(home, "sandboxes", uuid, "workspace", "ready"))),
      {
        timeoutMs: 20_000,
      },
    );
    child.kill("SIGTERM");
    expect(await closed).toBe(9);
    expect(JSON.parse(seen.stdout)).toMatchObject({ stdout: "got\n", exit_code: 9 });
    expect(folders()).toEqual([]);
  }, 60_000);

  it("writes a copied workspace back to its end", async () => {
    const count = 3_000;
    const made = `mkdir d; i=0; while [ $i -lt ${count} ]; do : > d/$i; i=$((i+1)); done; echo ready`;
    const { child, closed, seen } = start("run", "--copy", "--apply", "--", "sh", "-c", made);
    // the first file that stands in the original says that writing back has begun
    await waitFor(() => existsSync(join(project, "d")), { timeoutMs: 30_000, intervalMs: 1 });
    child.kill("SIGINT");
    expect(await closed).toBe(0);
    expect(seen.stderr).toContain("finishing first");
    expect(readdirSync(join(project, "d"))).toHaveLength(count);
    expect(folders()).toEqual([]);
  }, 60_000);

  it("leaves nothing when nobody can take its output", async () => {
    const full = openSync("/dev/full", "w");
    try {
      const env = { PATH: "/usr/bin:/bin", HOME: home, AGENTKERNEL_HOME: home, XDG_CONFIG_HOME: join(home, "config") };
      execFileSync(AGENTKERNEL, ["run", "--", "yes"], { cwd: project, env, stdio: ["ignore", full, "pipe"], timeout: 30_000 });
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ status: 125, stderr: expect.objectContaining({}) as unknown });
      expect(String((error as { stderr: Buffer }).stderr)).toContain("error[DISK_FULL]");
    } finally {
      closeSync(full);
    }
    expect(folders()).toEqual([]);
  });

  it("asks on the terminal whether a copy's changes are wanted", { ...requires("python3"), timeout: 60_000 }, () => {
    writeFileSync(join(project, "a"), "before");
    const program = `
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "run", "--copy", "--", "sh", "-c", "echo after > a"])
seen, asked = b"", False
while True:
    try:
        chunk = os.read(fd, 4096)
    except OSError:
        break
    if not chunk: break
    seen += chunk
    if b"[y/N]" in seen and not asked:
        asked = True
        os.write(fd, b"y\\n")
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
    const env = { PATH: "/usr/bin:/bin", HOME: home, AGENTKERNEL_HOME: home, XDG_CONFIG_HOME: join(home, "config"), TERM: "xterm" };
    const output = execFileSync("python3", ["-c", program, AGENTKERNEL], { cwd: project, env, timeout: 30_000 }).toString();
    expect(output).toContain("written back: 0 created, 1 modified, 0 deleted");
    expect(readFileSync(join(project, "a"), "utf8")).toBe("after\n");
  });
});

it("a server that is told to read its configuration again while it starts goes on, and has read it", async () => {
  const { child, seen, closed } = start("serve", "--port", "0");
  const lock = join(home, "run", "serve.lock.holder");
  await waitFor(() => existsSync(lock), { what: "the server to start", timeoutMs: 20_000 });
  mkdirSync(join(home, "config", "agentkernel"), { recursive: true });
  writeFileSync(join(home, "config", "agentkernel", "agentkernel.toml"), '[[egress.rules]]\nhost = "late.example.com"\n');
  child.kill("SIGHUP");
  try {
    await waitFor(() => seen.stdout.includes("listening on"), { what: "the server", timeoutMs: 20_000 });
    await waitFor(async () => (await cli(["policy", "ls"], { home })).stdout.includes("late.example.com"), {
      what: "the new configuration",
    });
  } finally {
    child.kill("SIGTERM");
  }
  expect(await closed).toBe(0);
}, 60_000);
