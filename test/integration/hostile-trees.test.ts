import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removeTree } from "../../src/base/remove-tree.ts";
import { WorkspaceCopySession } from "../../src/sandbox/workspace/session.ts";
import { runAs, testUser } from "../support/user.ts";

let base: string;
let original: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-hostile-"));
  original = join(base, "project");
  mkdirSync(original);
  writeFileSync(join(original, "a.txt"), "one");
});

// what a test leaves is as hostile as what it made
afterEach(() => execFileSync("rm", ["-rf", base]));

/** Goes down one directory at a time, as no path this long can be given to a system call. */
function nest(at: string, depth: number, name = "d"): void {
  const script = `const fs = require("node:fs"); for (let i = 0; i < ${depth}; i++) { fs.mkdirSync(${JSON.stringify(name)}); process.chdir(${JSON.stringify(name)}); } fs.writeFileSync("leaf", "");`;
  execFileSync(process.execPath, ["-e", script], { cwd: at });
}

async function started(): Promise<WorkspaceCopySession> {
  const session = new WorkspaceCopySession(original, join(base, "sandbox"));
  mkdirSync(join(base, "sandbox"), { recursive: true });
  await session.prepare();
  await session.handOver(undefined);
  return session;
}

describe("removeTree", () => {
  it("removes directories nested deeper than a path can be long, and their neighbours", async () => {
    const tree = join(base, "tree");
    mkdirSync(join(tree, "side"), { recursive: true });
    // the names that lifting uses may be there already
    mkdirSync(join(tree, ".lifted-0", "x"), { recursive: true });
    nest(tree, 3_000);
    nest(join(tree, "side"), 60, "n".repeat(100));
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
  });

  it("removes a symlink and not what it leads to", async () => {
    mkdirSync(join(base, "elsewhere"));
    writeFileSync(join(base, "elsewhere", "kept"), "x");
    const tree = join(base, "tree");
    mkdirSync(tree);
    symlinkSync(join(base, "elsewhere"), join(tree, "link"));
    nest(tree, 2_500);
    await removeTree(tree);
    symlinkSync(join(base, "elsewhere"), tree);
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
    expect(readFileSync(join(base, "elsewhere", "kept"), "utf8")).toBe("x");
  });

  it("removes more than is read at once, files and directories", async () => {
    const tree = join(base, "tree");
    mkdirSync(join(tree, "wide"), { recursive: true });
    for (let i = 0; i < 10_100; i++) mkdirSync(join(tree, "wide", `d${i}`));
    for (let i = 0; i < 500; i++) writeFileSync(join(tree, "wide", `f${i}`), "");
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
  });

  it("does not mind others that remove the same at the same time", async () => {
    for (let round = 0; round < 20; round++) {
      const tree = join(base, "tree");
      for (let i = 0; i < 40; i++) {
        mkdirSync(join(tree, `d${i}`, "e", "f"), { recursive: true });
        writeFileSync(join(tree, `d${i}`, "file"), "");
        writeFileSync(join(tree, `file${i}`), "");
      }
      await Promise.all([removeTree(tree), removeTree(tree), removeTree(tree)]);
      expect(existsSync(tree)).toBe(false);
    }
  });

  it("does nothing where nothing is", async () => {
    await removeTree(join(base, "nothing"));
  });

  it("removes read-only directories of an ordinary user, as module caches are", async () => {
    await using user = await testUser();
    const make = "mkdir -p tree/mod/pkg && echo x > tree/mod/pkg/f && chmod 555 tree/mod/pkg tree/mod && chmod 000 tree/mod/pkg";
    expect((await runAs(user, ["/bin/sh", "-c", make])).status).toBe(0);
    chmodSync(base, 0o755);
    // the sources may lie where that user cannot read
    for (const name of ["remove-tree.ts", "error.ts"])
      writeFileSync(join(base, name), readFileSync(new URL(`../../src/base/${name}`, import.meta.url)), { mode: 0o644 });
    const program = `import { removeTree } from ${JSON.stringify(join(base, "remove-tree.ts"))}; await removeTree("tree");`;
    const node = join(user.home, "node");
    writeFileSync(node, readFileSync(process.execPath), { mode: 0o755 });
    const result = await runAs(user, [node, "--input-type=module", "-e", program]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(join(user.home, "tree"))).toBe(false);
  });
});

describe("a workspace copy that a sandbox filled with malice", () => {
  it("is kept and named when it is nested too deeply, and can be removed", async () => {
    const session = await started();
    nest(session.copy, 3_000, "x".repeat(50));
    const before = performance.now();
    const result = await session.finish(true);
    expect(result).toMatchObject({ applied: false, keptAt: session.copy, conflict: expect.stringContaining("nested deeper") });
    expect(performance.now() - before).toBeLessThan(10_000);
    expect(readdirSync(original)).toEqual(["a.txt"]);
    await removeTree(session.copy);
    expect(existsSync(session.copy)).toBe(false);
  });

  it("does not fill our memory with long paths, of which it can make more than fit", async () => {
    const session = await started();
    const depth = 250;
    // 40 000 paths of 4 000 bytes
    const script = `const fs = require("node:fs"); for (let i = 0; i < ${depth}; i++) { fs.mkdirSync("d".repeat(15)); process.chdir("d".repeat(15)); }
      for (let i = 0; i < 40_000; i++) fs.closeSync(fs.openSync(String(i), "w"));`;
    execFileSync(process.execPath, ["-e", script], { cwd: session.copy });
    const result = await session.finish(true);
    expect(result).toMatchObject({ applied: false, keptAt: session.copy, conflict: expect.stringContaining("MiB together") });
  }, 60_000);

  it("does not fill the disk of the host with a sparse file", async () => {
    const session = await started();
    writeFileSync(join(session.copy, "sparse"), "");
    truncateSync(join(session.copy, "sparse"), 1024 ** 4);
    rmSync(join(session.copy, "a.txt"));
    const result = await session.finish(true);
    expect(result).toMatchObject({ applied: false, keptAt: session.copy, conflict: expect.stringContaining("too large to write back") });
    // nothing was deleted either
    expect(readdirSync(original)).toEqual(["a.txt"]);
  });

  it("writes back deep and wide trees, odd names and no FIFO", async () => {
    const session = await started();
    nest(session.copy, 400);
    const odd = ["new\nline", "\u001b[31m", "n".repeat(255), "-rf", " "];
    for (const name of odd) writeFileSync(join(session.copy, name), name);
    const bytes = Buffer.concat([Buffer.from(`${session.copy}/`), Buffer.from([0xff, 0xfe, 0x41])]);
    writeFileSync(bytes, "bytes");
    mkdirSync(join(session.copy, "wide"));
    for (let i = 0; i < 2_000; i++) writeFileSync(join(session.copy, "wide", `f${i}`), "");
    execFileSync("mkfifo", [join(session.copy, "fifo")]);
    const result = await session.finish(true);
    expect(result).toMatchObject({ applied: true });
    for (const name of odd) expect(readFileSync(join(original, name), "utf8")).toBe(name);
    expect(readFileSync(Buffer.concat([Buffer.from(`${original}/`), Buffer.from([0xff, 0xfe, 0x41])]), "utf8")).toBe("bytes");
    expect(readdirSync(join(original, "wide"))).toHaveLength(2_000);
    expect(existsSync(join(original, "fifo"))).toBe(false);
    expect(existsSync(join(original, `${"d/".repeat(400)}leaf`))).toBe(true);
  });

  it("never leads out of the original, when a directory was replaced by a symlink", async () => {
    mkdirSync(join(original, "dir"));
    writeFileSync(join(original, "dir", "f"), "1");
    const outside = join(base, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "f"), "host");
    const session = await started();
    rmSync(join(session.copy, "dir"), { recursive: true });
    symlinkSync(outside, join(session.copy, "dir"));
    expect(await session.finish(true)).toMatchObject({ applied: true });
    expect(readlinkSync(join(original, "dir"))).toBe(outside);
    expect(readFileSync(join(outside, "f"), "utf8")).toBe("host");
  });

  it("is kept when the original has gone", async () => {
    const session = await started();
    writeFileSync(join(session.copy, "new"), "x");
    rmSync(original, { recursive: true });
    expect(await session.finish(true)).toMatchObject({ applied: false, keptAt: session.copy, conflict: expect.any(String) });
    expect(lstatSync(join(session.copy, "new")).isFile()).toBe(true);
  });

  it("stops copying when it is told to, and leaves no copy that looks complete", async () => {
    for (let i = 0; i < 300; i++) writeFileSync(join(original, `f${i}`), "");
    const session = new WorkspaceCopySession(original, join(base, "sandbox"));
    mkdirSync(join(base, "sandbox"));
    const abort = new AbortController();
    const reason = new Error("told to");
    const preparing = session.prepare(abort.signal);
    setImmediate(() => abort.abort(reason));
    await expect(preparing).rejects.toBe(reason);
    expect(existsSync(join(base, "sandbox", "workspace.json"))).toBe(false);
  });
});
