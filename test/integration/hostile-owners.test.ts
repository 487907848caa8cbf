import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { removeTree } from "../../src/base/remove-tree.ts";
import { copyWorkspace } from "../../src/sandbox/workspace/copy.ts";
import { WorkspaceCopySession } from "../../src/sandbox/workspace/session.ts";

/*
 * Root writes into, and removes, directories that another user owns: the owner of a workspace that root works on as a copy, or whose
 * sandbox has its home there. That user may swap entries at any moment. Each attacker here is a thread that does nothing else.
 */

let base: string;
let original: string;
let session: WorkspaceCopySession;

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-owners-"));
  original = join(base, "project");
  mkdirSync(original);
  mkdirSync(join(base, "sandbox"));
  session = new WorkspaceCopySession(original, join(base, "sandbox"));
  await session.prepare();
  await session.handOver(undefined);
});

afterEach(() => execFileSync("rm", ["-rf", base]));

const PRELUDE = `
  const fs = require("node:fs");
  const { join } = require("node:path");
  const { parentPort, workerData: { tree, canary, until } } = require("node:worker_threads");
  const over = new Int32Array(until);
  const isOver = () => Atomics.load(over, 0) === 1;
  const names = () => { try { return fs.readdirSync(tree); } catch { return []; } };
  const attempt = (work) => { try { work(); return true; } catch { return false; } };
`;

/** Runs `work` while a thread attacks; what the thread counted. */
async function attacked(program: string, at: { readonly tree: string; readonly canary: string }, work: () => Promise<unknown>) {
  const until = new SharedArrayBuffer(4);
  const worker = new Worker(`${PRELUDE} parentPort.postMessage("ready"); ${program}`, { eval: true, workerData: { ...at, until } });
  await new Promise((resolve) => worker.once("message", resolve));
  const counted = new Promise<number>((resolve, reject) => worker.once("message", resolve).once("error", reject));
  try {
    await work();
  } finally {
    Atomics.store(new Int32Array(until), 0, 1);
  }
  return counted;
}

test("a directory that is swapped for a link while it is written back does not get its mode onto what the link leads to", async () => {
  const canary = join(base, "canary");
  mkdirSync(canary);
  chmodSync(canary, 0o700);
  const count = 600;
  for (let i = 0; i < count; i += 1) {
    mkdirSync(join(session.copy, `d${i}`));
    chmodSync(join(session.copy, `d${i}`), 0o777);
  }
  const swap = `
    let swaps = 0;
    for (let i = 0; !isOver();) {
      const at = join(tree, "d" + i);
      if (!attempt(() => fs.renameSync(at, at + "-away"))) { if (fs.existsSync(join(tree, "d" + (i + 1)))) i += 1; continue; }
      if (attempt(() => fs.symlinkSync(canary, at))) swaps += 1;
      i += 1;
    }
    parentPort.postMessage(swaps);
  `;
  await attacked(swap, { tree: original, canary }, () => session.finish(true));
  expect(statSync(canary).mode & 0o777).toBe(0o700);
});

test("a file that is swapped for a link while it is written back changes nothing where the link leads to", async () => {
  const canary = join(base, "canary");
  writeFileSync(canary, "canary");
  chmodSync(canary, 0o600);
  const before = lstatSync(canary, { bigint: true });
  for (let i = 0; i < 400; i += 1) writeFileSync(join(session.copy, `f${i}`), "x", { mode: 0o777 });
  const swap = `
    let swaps = 0;
    while (!isOver()) {
      for (const name of names()) {
        if (!name.startsWith(".agentkernel-")) continue;
        const at = join(tree, name);
        if (attempt(() => fs.renameSync(at, at + "-away")) && attempt(() => fs.symlinkSync(canary, at))) swaps += 1;
      }
    }
    parentPort.postMessage(swaps);
  `;
  await attacked(swap, { tree: original, canary }, () => session.finish(true));
  const after = lstatSync(canary, { bigint: true });
  expect([after.mode, after.mtimeNs, readFileSync(canary, "utf8")]).toEqual([before.mode, before.mtimeNs, "canary"]);
});

test("what is being written back is never a set-uid program, not even before it is whole", async () => {
  for (let i = 0; i < 40; i += 1) {
    writeFileSync(join(session.copy, `s${i}`), Buffer.alloc(2 * 1024 * 1024, i));
    chmodSync(join(session.copy, `s${i}`), 0o6755);
  }
  const watch = `
    let seen = 0;
    while (!isOver())
      for (const name of names()) attempt(() => { if ((fs.lstatSync(join(tree, name)).mode & 0o6000) !== 0) seen += 1; });
    parentPort.postMessage(seen);
  `;
  const seen = await attacked(watch, { tree: original, canary: base }, () => session.finish(true));
  expect(seen).toBe(0);
  expect(statSync(join(original, "s7")).mode & 0o7777).toBe(0o755);
  expect(readFileSync(join(original, "s39")).equals(Buffer.alloc(2 * 1024 * 1024, 39))).toBe(true);
});

test("a link above the original is not followed: the path was resolved when the workspace was judged", async () => {
  mkdirSync(join(base, "above", "project"), { recursive: true });
  mkdirSync(join(base, "elsewhere", "project"), { recursive: true });
  writeFileSync(join(base, "elsewhere", "project", "secret"), "canary");
  renameSync(join(base, "above"), join(base, "moved"));
  symlinkSync(join(base, "elsewhere"), join(base, "above"));
  await expect(copyWorkspace(join(base, "above", "project"), join(base, "copy"))).rejects.toThrow(/could not copy the workspace/);
});

test("a changed copy is not written through a link above the original", async () => {
  const path = join(base, "up", "project");
  mkdirSync(path, { recursive: true });
  mkdirSync(join(base, "two"));
  const other = new WorkspaceCopySession(path, join(base, "two"));
  await other.prepare();
  await other.handOver(undefined);
  writeFileSync(join(other.copy, "planted"), "x");
  renameSync(join(base, "up"), join(base, "target"));
  symlinkSync(join(base, "target"), join(base, "up"));
  expect(await other.finish(true)).toMatchObject({ applied: false, keptAt: other.copy });
  expect(() => lstatSync(join(base, "target", "project", "planted"))).toThrow(/ENOENT/);
});

test("a directory that is swapped for a link while its tree is removed keeps what the link leads to", async () => {
  const canary = join(base, "canary");
  mkdirSync(canary);
  for (let i = 0; i < 20; i += 1) writeFileSync(join(canary, `c${i}`), "canary");
  const tree = join(base, "tree");
  for (let i = 0; i < 300; i += 1) {
    mkdirSync(join(tree, `d${i}`), { recursive: true });
    writeFileSync(join(tree, `d${i}`, "f"), "x");
  }
  const swap = `
    let swaps = 0;
    while (!isOver()) {
      for (const name of names()) {
        const at = join(tree, name);
        if (attempt(() => fs.renameSync(at, join(tree, "..", "away-" + name))) && attempt(() => fs.symlinkSync(canary, at))) swaps += 1;
        if (isOver()) break;
      }
    }
    parentPort.postMessage(swaps);
  `;
  await attacked(swap, { tree, canary }, () => removeTree(tree).catch(() => undefined));
  for (let i = 0; i < 20; i += 1) expect(readFileSync(join(canary, `c${i}`), "utf8")).toBe("canary");
});
