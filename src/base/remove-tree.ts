import { chmod, lstat, readdir, rename, rm, rmdir, unlink } from "node:fs/promises";
import { HeldDirectory } from "./beneath.ts";
import { errnoOf } from "./error.ts";

/** What Node's own `rm` cannot remove, though its owner can: paths longer than PATH_MAX, and directories without write permission. */
const STUBBORN = new Set(["ENAMETOOLONG", "EACCES", "EPERM", "ENOTEMPTY", "ELOOP"]);

/**
 * Removes a tree whose content was made by somebody else, whatever it looks like; one that is not there is fine. Nobody may be
 * changing it meanwhile. Symlinks are removed, not followed.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
    return;
  } catch (error) {
    if (!STUBBORN.has(errnoOf(error) ?? "")) throw error;
  }
  if (!(await lstat(path)).isDirectory()) return unlink(path);
  await chmod(path, 0o700);
  {
    await using top = await HeldDirectory.open(path);
    await flatten(top);
  }
  await rmdir(path);
}

/** Every directory is lifted to the top before it is emptied, so that no path is ever long and no descriptor is held per level. */
async function flatten(top: HeldDirectory): Promise<void> {
  let lifted = 0;
  for (;;) {
    const names = await readdir(top.self, { encoding: "latin1" });
    if (names.length === 0) return;
    for (const name of names) {
      const at = top.entry(name);
      if (!(await lstat(at)).isDirectory()) {
        await unlink(at);
        continue;
      }
      await chmod(at, 0o700);
      await using directory = await top.descend(name);
      for (const below of await readdir(directory.self, { encoding: "latin1" })) {
        const from = directory.entry(below);
        if ((await lstat(from)).isDirectory()) {
          // a directory that moves gets another "..", which needs the right to write into it
          await chmod(from, 0o700);
          await rename(from, await freeName(top, () => `.lifted-${lifted++}`));
        } else await unlink(from);
      }
      await rmdir(at);
    }
  }
}

/** A name that nothing has yet: rename(2) replaces an empty directory, and fails on one that is not. */
async function freeName(top: HeldDirectory, next: () => string): Promise<Buffer> {
  for (;;) {
    const at = top.entry(next());
    try {
      await lstat(at);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return at;
      throw error;
    }
  }
}
