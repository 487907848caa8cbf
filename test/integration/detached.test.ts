import { mkdirSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { DetachedExecs } from "../../src/sandbox/detached.ts";
import type { ExecEnd, SandboxExec } from "../../src/sandbox/exec.ts";
import { openStore } from "../../src/store/open-store.ts";
import { tempDir } from "../support/temp.ts";

const AT = Date.UTC(2026, 0, 1);

function open(directory: string, store = openStore(":memory:", { log: silentLog })): DetachedExecs {
  return new DetachedExecs({ sandbox: { uuid: "u1", name: "one" }, directory, repository: store.detached, log: silentLog });
}

function command(id: string) {
  const exited = Promise.withResolvers<ExecEnd>();
  const killed: string[] = [];
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const stdin = new Writable({ final: (done) => done(new Error("it does not read")) });
  const exec: SandboxExec = {
    id,
    pid: 2,
    stdin,
    stdout,
    stderr,
    exited: exited.promise,
    over: exited.promise.then(() => undefined),
    kill: (signal) => void killed.push(signal),
    resize: () => undefined,
  };
  const end = (): void => {
    stdout.end();
    stderr.end();
    exited.resolve({ code: 0, signal: null });
  };
  return { exec, stdout, stderr, killed, end };
}

describe("detached commands", () => {
  it("keep so much of a flood and read the rest", async () => {
    await using dir = await tempDir({});
    const detached = open(join(dir.path, "detached"));
    const { exec, stdout, end } = command("exe_1");
    await detached.adopt(exec, ["yes"], AT);
    const chunk = Buffer.alloc(1024 ** 2, "y");
    for (let i = 0; i < 40; i++) if (!stdout.write(chunk)) await new Promise((resolve) => stdout.once("drain", resolve));
    end();
    await expect.poll(() => detached.get("exe_1").status).toBe("completed");
    const { stdout: kept = "" } = await detached.logs("exe_1", "stdout");
    expect(kept).toHaveLength(16 * 1024 ** 2 + "\n[output truncated by agentkernel]\n".length);
    expect(kept.endsWith("y\n[output truncated by agentkernel]\n")).toBe(true);
  });

  it("go on when the disk is full", async () => {
    await using dir = await tempDir({});
    const directory = join(dir.path, "detached");
    mkdirSync(directory);
    symlinkSync("/dev/full", join(directory, "exe_1.stdout"));
    const detached = open(directory);
    const { exec, stdout, stderr, end, killed } = command("exe_1");
    await detached.adopt(exec, ["make"], AT);
    for (let i = 0; i < 20; i++) if (!stdout.write("x".repeat(50_000))) await new Promise((resolve) => stdout.once("drain", resolve));
    stderr.write("still here");
    expect(detached.get("exe_1").status).toBe("running");
    end();
    await expect.poll(() => detached.get("exe_1").status).toBe("completed");
    expect(killed).toEqual([]);
    expect((await detached.logs("exe_1", "stderr")).stderr).toBe("still here");
  });

  it("are killed when nothing can be kept of them, since nobody would hear of them", async () => {
    await using dir = await tempDir({});
    const detached = open("/dev/null/detached");
    const { exec, killed } = command("exe_1");
    await expect(detached.adopt(exec, ["make"], AT)).rejects.toThrow("ENOTDIR");
    expect(killed).toEqual(["SIGKILL"]);
    expect(detached.list()).toEqual([]);
    expect(statSync(dir.path).isDirectory()).toBe(true);
  });

  it("are forgotten with their output when there are many, those that run never", async () => {
    await using dir = await tempDir({});
    const directory = join(dir.path, "detached");
    const detached = open(directory);
    const first = command("exe_first");
    await detached.adopt(first.exec, ["server"], AT);
    for (let i = 0; i < 130; i++) {
      const { exec, end } = command(`exe_${i}`);
      await detached.adopt(exec, ["true"], AT);
      end();
      await expect.poll(() => detached.get(`exe_${i}`).status, { interval: 1 }).toBe("completed");
    }
    const known = detached.list().map(({ id }) => id);
    expect(known).toHaveLength(101);
    expect(known).toContain("exe_first");
    expect(known).toContain("exe_129");
    expect(readdirSync(directory)).toHaveLength(202);
    first.end();
    await expect.poll(() => detached.get("exe_first").status).toBe("completed");
  });

  it("are known after their process has ended, those that ran as failed", async () => {
    await using dir = await tempDir({});
    const directory = join(dir.path, "detached");
    await using store = openStore(":memory:", { log: silentLog });
    const before = open(directory, store);
    const [done, running] = [command("exe_1"), command("exe_2")];
    await before.adopt(done.exec, ["make"], AT);
    await before.adopt(running.exec, ["server"], AT + 1);
    done.stdout.write("made");
    done.end();
    await expect.poll(() => before.get("exe_1").status).toBe("completed");

    const after = open(directory, store);
    expect(() => after.kill("exe_2")).toThrow("another agentkernel process");
    store.detached.failRunning("u1");
    expect(after.list()).toMatchObject([
      { id: "exe_1", sandbox: "one", command: ["make"], status: "completed", exit_code: 0, started_at: "2026-01-01T00:00:00.000Z" },
      { id: "exe_2", status: "failed", exit_code: null },
    ]);
    expect((await after.logs("exe_1", "stdout")).stdout).toBe("made");
    after.kill("exe_2");
    running.end();
    await before.settled();
  });
});
