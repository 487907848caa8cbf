import { mkdir, mkdtemp, rm, stat, symlink, writeFile, chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { holdPath, permits } from "./held-path.ts";

describe("a held path", () => {
  let base: string;
  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), "held-path-"));
    await mkdir(join(base, "a/b"), { recursive: true });
    await writeFile(join(base, "a/file"), "x");
    await symlink("b", join(base, "a/link"));
    await symlink("/etc/passwd", join(base, "a/file-link"));
  });
  afterAll(() => rm(base, { recursive: true, force: true }));

  test("is the directory or file itself", async () => {
    using directory = await holdPath(join(base, "a/b/"), "it");
    expect(directory.isDirectory).toBe(true);
    const { dev, ino } = await stat(join(base, "a/b"), { bigint: true });
    expect(directory).toMatchObject({ device: dev, inode: ino });
    using file = await holdPath(join(base, "a/file"), "it");
    expect(file.isDirectory).toBe(false);
  });

  test("stays what it was when its name becomes something else", async () => {
    await mkdir(join(base, "moved"));
    using held = await holdPath(join(base, "moved"), "it");
    await rm(join(base, "moved"), { recursive: true });
    // as long as it is held, nothing else gets its number
    for (let count = 0; count < 20; count += 1) await mkdir(join(base, `after-${count}`));
    for (let count = 0; count < 20; count += 1)
      expect((await stat(join(base, `after-${count}`), { bigint: true })).ino).not.toBe(held.inode);
  });

  test.each(["a/link", "a/link/x", "a/file-link"])("%s: no symlink is followed, last or on the way", async (path) => {
    await expect(holdPath(join(base, path), "it")).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining("symlink"),
    });
  });

  test.each([
    ["relative/path", "absolute"],
    ["/a/../b", '".."'],
    ["/no-such-place-here/x", "does not exist"],
    ["/dev/null", "neither a directory nor a file"],
    ["/etc/passwd/x", "not a directory"],
    ["/a\0b", "absolute"],
  ])("%j is refused", async (path, message) => {
    await expect(holdPath(path, "it")).rejects.toMatchObject({ code: "VALIDATION", message: expect.stringContaining(message) });
  });

  test("what the reader cannot reach or list is named", async () => {
    await chmod(base, 0o755);
    await chmod(join(base, "a"), 0o700);
    const reader = { uid: 4_000_000, gid: 4_000_000 };
    await expect(holdPath(join(base, "a/b"), "it", reader)).rejects.toMatchObject({
      message: expect.stringContaining(`${join(base, "a")} is closed to it`),
    });
    await expect(holdPath(join(base, "a"), "it", reader)).rejects.toMatchObject({ message: expect.stringContaining("cannot be read") });
    await chmod(join(base, "a"), 0o755);
    using held = await holdPath(join(base, "a/b"), "it", reader);
    expect(held.isDirectory).toBe(true);
  });
});

test("mode bits count for the first class that fits, as in the kernel", () => {
  const info = (mode: number) => ({ mode, uid: 10, gid: 20, isDirectory: () => true });
  expect(permits(info(0o077), { uid: 10, gid: 20 }, 5)).toBe(false);
  expect(permits(info(0o707), { uid: 11, gid: 20 }, 5)).toBe(false);
  expect(permits(info(0o750), { uid: 11, gid: 20 }, 5)).toBe(true);
  expect(permits(info(0o705), { uid: 11, gid: 21 }, 5)).toBe(true);
  expect(permits(info(0o701), { uid: 11, gid: 21 }, 5)).toBe(false);
});
