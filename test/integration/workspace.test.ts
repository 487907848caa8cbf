import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WorkspaceCopySession } from "../../src/sandbox/workspace/session.ts";
import { chooseWorkspace } from "../../src/sandbox/workspace/choose.ts";
import { copyWorkspace } from "../../src/sandbox/workspace/copy.ts";

let base: string;
let original: string;
let sandboxDir: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-workspace-"));
  original = join(base, "project");
  sandboxDir = join(base, "sandbox");
  mkdirSync(join(original, "src", "deep"), { recursive: true });
  mkdirSync(sandboxDir);
  writeFileSync(join(original, "a.txt"), "one");
  writeFileSync(join(original, "src", "deep", "b.txt"), "two");
  writeFileSync(join(original, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("a.txt", join(original, "link"));
});

afterEach(() => rmSync(base, { recursive: true, force: true }));

async function session(): Promise<WorkspaceCopySession> {
  const made = new WorkspaceCopySession(original, sandboxDir);
  await made.prepare();
  await made.handOver(undefined);
  return made;
}

describe("a copied workspace", () => {
  it("holds everything, with modes and symlinks", async () => {
    const { copy } = await session();
    expect(readFileSync(join(copy, "src/deep/b.txt"), "utf8")).toBe("two");
    expect(statSync(join(copy, "run.sh")).mode & 0o777).toBe(0o755);
    expect(readlinkSync(join(copy, "link"))).toBe("a.txt");
  });

  it("whose list of what it was like is damaged is kept, and says so", async () => {
    const made = await session();
    writeFileSync(join(made.copy, "new.txt"), "new");
    for (const damaged of ["", "{", "{}"]) {
      writeFileSync(join(sandboxDir, "workspace.json"), damaged);
      expect(await made.finish(true)).toMatchObject({ applied: false, keptAt: made.copy, conflict: expect.stringContaining("is damaged") });
      await expect(new WorkspaceCopySession(original, sandboxDir).prepare()).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
    }
    expect(readFileSync(join(made.copy, "new.txt"), "utf8")).toBe("new");
    expect(existsSync(join(original, "new.txt"))).toBe(false);
  });

  it("writes back what was created, changed and deleted, and forgets the copy", async () => {
    const made = await session();
    writeFileSync(join(made.copy, "new.txt"), "new");
    mkdirSync(join(made.copy, "dir/sub"), { recursive: true });
    writeFileSync(join(made.copy, "dir/sub/x"), "x");
    writeFileSync(join(made.copy, "a.txt"), "changed");
    rmSync(join(made.copy, "src"), { recursive: true });
    const result = await made.finish(true);
    expect(result).toMatchObject({ created: 4, modified: 1, deleted: 3, applied: true });
    expect(readFileSync(join(original, "new.txt"), "utf8")).toBe("new");
    expect(readFileSync(join(original, "dir/sub/x"), "utf8")).toBe("x");
    expect(readFileSync(join(original, "a.txt"), "utf8")).toBe("changed");
    expect(existsSync(join(original, "src"))).toBe(false);
    expect(existsSync(made.copy)).toBe(false);
  });

  it("sees a change whose size and modification time were set back", async () => {
    const made = await session();
    const at = join(made.copy, "a.txt");
    const { atime, mtime } = statSync(at);
    writeFileSync(at, "eno");
    utimesSync(at, atime, mtime);
    expect(await made.finish(true)).toMatchObject({ modified: 1, applied: true });
    expect(readFileSync(join(original, "a.txt"), "utf8")).toBe("eno");
  });

  it("applies nothing when the host changed meanwhile, and keeps the copy", async () => {
    const made = await session();
    writeFileSync(join(made.copy, "a.txt"), "from inside");
    writeFileSync(join(original, "other.txt"), "from the host");
    const result = await made.finish(true);
    expect(result).toMatchObject({ applied: false, keptAt: made.copy });
    expect(result.conflict).toContain("was changed on the host");
    expect(readFileSync(join(original, "a.txt"), "utf8")).toBe("one");
    expect(readFileSync(join(made.copy, "a.txt"), "utf8")).toBe("from inside");
  });

  it("keeps the copy when it is not to be applied, and takes it up again", async () => {
    const first = await session();
    writeFileSync(join(first.copy, "a.txt"), "changed");
    expect(await first.finish(false)).toMatchObject({ modified: 1, applied: false, keptAt: first.copy });
    const second = await session();
    expect(readFileSync(join(second.copy, "a.txt"), "utf8")).toBe("changed");
    expect(await second.finish(true)).toMatchObject({ modified: 1, applied: true });
    expect(readFileSync(join(original, "a.txt"), "utf8")).toBe("changed");
  });

  it("names changed files that run on the host later", async () => {
    const made = await session();
    mkdirSync(join(made.copy, ".git/hooks"), { recursive: true });
    writeFileSync(join(made.copy, ".git/hooks/pre-commit"), "#!/bin/sh\nevil\n", { mode: 0o755 });
    writeFileSync(join(made.copy, "package.json"), "{}");
    const result = await made.finish(false);
    expect(result.sensitive).toEqual(expect.arrayContaining([".git/hooks/pre-commit", "package.json"]));
  });

  it("never writes through a symlink that was planted on either side", async () => {
    const outside = join(base, "outside");
    mkdirSync(outside);
    const made = await session();
    rmSync(join(made.copy, "src"), { recursive: true });
    symlinkSync(outside, join(made.copy, "src"));
    expect(await made.finish(true)).toMatchObject({ applied: true });
    expect(lstatSync(join(original, "src")).isSymbolicLink()).toBe(true);
    expect(existsSync(join(outside, "deep"))).toBe(false);

    const again = await session();
    rmSync(join(again.copy, "src"));
    mkdirSync(join(again.copy, "src"));
    writeFileSync(join(again.copy, "src/new"), "x");
    expect(await again.finish(true)).toMatchObject({ applied: true });
    expect(lstatSync(join(original, "src")).isDirectory()).toBe(true);
    expect(existsSync(join(outside, "new"))).toBe(false);
  });

  it("drops set-user-id bits and leaves FIFOs behind without hanging", async () => {
    const made = await session();
    writeFileSync(join(made.copy, "suid"), "x");
    chmodSync(join(made.copy, "suid"), 0o4755);
    execFileSync("mkfifo", [join(made.copy, "fifo")]);
    await made.finish(true);
    expect(statSync(join(original, "suid")).mode & 0o7777).toBe(0o755);
    expect(existsSync(join(original, "fifo"))).toBe(false);
  });

  it("keeps file names that are not UTF-8", async () => {
    const made = await session();
    const name = Buffer.concat([Buffer.from(`${made.copy}/bad-`), Buffer.from([0xff, 0xfe]), Buffer.from("\n")]);
    writeFileSync(name, "bytes");
    await made.finish(true);
    const there = Buffer.concat([Buffer.from(`${original}/bad-`), Buffer.from([0xff, 0xfe]), Buffer.from("\n")]);
    expect(readFileSync(there, "utf8")).toBe("bytes");
  });

  it("refuses a tree past the limits", async () => {
    await expect(copyWorkspace(original, join(base, "c"), { limits: { bytes: 4, entries: 100 } })).rejects.toMatchObject({
      code: "TOO_LARGE",
    });
    await expect(copyWorkspace(original, join(base, "d"), { limits: { bytes: 1000, entries: 2 } })).rejects.toMatchObject({
      code: "TOO_LARGE",
    });
  });
});

describe("choosing how the workspace enters", () => {
  it("is direct for an ordinary user and a copy when asked for", async () => {
    expect(await chooseWorkspace({ path: original, copy: false, uid: 1000, forbidden: [] })).toMatchObject({ mode: "direct" });
    expect(await chooseWorkspace({ path: original, copy: true, uid: 1000, forbidden: [] })).toMatchObject({ mode: "copy" });
    expect(await chooseWorkspace({ path: null, copy: false, uid: 1000, forbidden: [] })).toEqual({ mode: "none" });
  });

  it("refuses a workspace that holds, or lies in, our own state", async () => {
    const state = join(original, "state");
    mkdirSync(state);
    await expect(chooseWorkspace({ path: original, copy: false, uid: 1000, forbidden: [state] })).rejects.toMatchObject({
      code: "VALIDATION",
    });
    await expect(chooseWorkspace({ path: state, copy: false, uid: 1000, forbidden: [original] })).rejects.toMatchObject({
      code: "VALIDATION",
    });
    await expect(chooseWorkspace({ path: join(base, "missing"), copy: false, uid: 1000, forbidden: [] })).rejects.toThrow("does not exist");
  });
});
