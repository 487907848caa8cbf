import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { openStore } from "../../src/store/open-store.ts";
import type { SandboxRow } from "../../src/store/sandboxes.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";

const WRITER = fileURLToPath(new URL("../support/store-writer.ts", import.meta.url));

afterAll(() => expectNoChildren(/esbuild|vitest/));

function start(file: string, number: number, mode: "end" | "hold") {
  const child = spawn(process.execPath, [WRITER, file, String(number), mode], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const done = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      if (out.endsWith("done\n")) resolve();
    });
    child.once("close", () => resolve());
  });
  const closed = once(child, "close").then(([code]) => ({ code: code as number | null, out, errors }));
  return { child, done, closed };
}

test("several processes make and write one state at once", { timeout: 60_000 }, async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "state.db");
  const results = await Promise.all([1, 2, 3, 4].map((number) => start(file, number, "end").closed));
  expect(results.map(({ code, errors }) => [code, errors])).toEqual([
    [0, ""],
    [0, ""],
    [0, ""],
    [0, ""],
  ]);
  // one of them decided it for all
  expect(new Set(results.map(({ out }) => out.split("\n")[0])).size).toBe(1);
  await using store = openStore(file, { log: silentLog });
  const usage = store.usage.bySandbox({});
  expect(Object.fromEntries(Object.entries(usage).map(([name, [entry]]) => [name, [entry?.request_count, entry?.total_tokens]]))).toEqual({
    box1: [500, 60_000],
    box2: [500, 60_000],
    box3: [500, 60_000],
    box4: [500, 60_000],
    shared: [500, 60_000],
  });
  expect([1, 2, 3, 4].map((number) => store.meta.get(`last${number}`))).toEqual(["19", "19", "19", "19"]);
});

test("sandboxes of a process that was killed are marked stopped, those of a living one are not", { timeout: 60_000 }, async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "state.db");
  const dead = start(file, 1, "hold");
  const alive = start(file, 2, "hold");
  try {
    await Promise.all([dead.done, alive.done]);
    dead.child.kill("SIGKILL");
    await dead.closed;
    await using store = openStore(file, { log: silentLog });
    expect(store.sandboxes.markOrphansStopped(() => true)).toEqual([]);
    expect(store.sandboxes.markOrphansStopped()).toMatchObject([
      { name: "box1", state: "stopped", reason: expect.stringContaining("agentkernel ended") },
    ]);
    expect(store.sandboxes.markOrphansStopped()).toEqual([]);
    expect(store.sandboxes.list().map(({ name, state }) => [name, state])).toEqual([
      ["box1", "stopped"],
      ["box2", "running"],
    ]);
    expect(store.usage.bySandbox({ sandbox: "box1" })["box1"]?.[0]?.request_count).toBe(500);
  } finally {
    alive.child.kill("SIGKILL");
    await alive.closed;
  }
});

test("a sandbox that another process takes over meanwhile is not marked stopped", { timeout: 60_000 }, async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "state.db");
  const dead = start(file, 1, "hold");
  await dead.done;
  dead.child.kill("SIGKILL");
  await dead.closed;
  await using store = openStore(file, { log: silentLog });
  await using other = openStore(file, { log: silentLog });
  // between the look and the mark
  const takeOver = ({ uuid }: SandboxRow): boolean => !other.sandboxes.claim(uuid, "creating");
  expect(store.sandboxes.markOrphansStopped(takeOver)).toEqual([]);
  expect(store.sandboxes.byName("box1")?.state).toBe("creating");
});

test("a directory that cannot be written is one clear error", () => {
  // sysfs: nobody makes files there, root neither
  expect(() => openStore("/sys/kernel/state.db", { log: silentLog })).toThrow(
    expect.objectContaining({ code: "STATE_UNUSABLE", hint: expect.stringContaining("make /sys/kernel writable") }),
  );
});

test("a file system that has no more files says so, not that the state may not be written", requires("root"), async () => {
  await using dir = await tempDir();
  // its top, the state, and nothing beside it
  execFileSync("mount", ["-t", "tmpfs", "-o", "nr_inodes=2,mode=700", "tmpfs", dir.path]);
  try {
    const open = () => openStore(join(dir.path, "state.db"), { log: silentLog });
    expect(open).toThrow(expect.objectContaining({ code: "DISK_FULL", hint: expect.stringContaining("free space") }));
    execFileSync("mount", ["-o", "remount,nr_inodes=20", dir.path]);
    await open()[Symbol.asyncDispose]();
  } finally {
    execFileSync("umount", ["-l", dir.path]);
  }
});
