import { constants } from "node:fs";
import { chmod, copyFile, lchown, lstat, mkdir, open, readlink, rename, rm, symlink, utimes } from "node:fs/promises";
import type { HeldDirectory } from "../../base/beneath.ts";
import { newId } from "../../base/id.ts";
import type { Entry } from "./manifest.ts";

export type Owner = { readonly uid: number; readonly gid: number };

/**
 * Puts one entry of `from` into `to` under the same name, replacing what is there. Regular files arrive by rename, so a reader
 * sees the old or the new file; set-user-id and set-group-id bits never carry over. Neither side's symlinks are followed.
 * Entries that are no file, directory or symlink (FIFO, socket, device) are not carried over: returns false.
 */
export async function placeEntry(
  from: HeldDirectory,
  to: HeldDirectory,
  name: string,
  entry: Entry,
  owner: Owner | undefined,
): Promise<boolean> {
  const source = from.entry(name);
  const target = to.entry(name);
  switch (entry.kind) {
    case "directory":
      // the owner keeps the right to write into it: what it holds is placed afterwards
      await placeDirectory(target, (entry.mode & 0o777) | 0o700, owner);
      return true;
    case "symlink": {
      const temporary = to.entry(temporaryName());
      await symlink(await readlink(source, { encoding: "buffer" }), temporary);
      if (owner !== undefined) await lchown(temporary, owner.uid, owner.gid);
      await rename(temporary, target);
      return true;
    }
    case "file":
      return placeFile(source, to, target, entry.mode & 0o777, owner);
    case "other":
      return false;
    default:
      return entry.kind satisfies never;
  }
}

async function placeDirectory(target: Buffer, mode: number, owner: Owner | undefined): Promise<void> {
  const existing = await lstat(target).catch(() => undefined);
  if (existing === undefined) await mkdir(target, { mode: 0o700 });
  else if (!existing.isDirectory()) {
    await rm(target);
    await mkdir(target, { mode: 0o700 });
  }
  if (owner !== undefined) await lchown(target, owner.uid, owner.gid);
  // chmod follows symlinks, but what stands here was just seen or made as a directory in a directory that is held
  await chmod(target, mode);
}

async function placeFile(source: Buffer, to: HeldDirectory, target: Buffer, mode: number, owner: Owner | undefined): Promise<boolean> {
  // O_NONBLOCK: a FIFO put here between the listing and now must not hang us
  await using held = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const stats = await held.stat();
  if (!stats.isFile()) return false;
  const temporary = to.entry(temporaryName());
  try {
    await copyFile(`/proc/self/fd/${held.fd}`, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    if (owner !== undefined) await lchown(temporary, owner.uid, owner.gid);
    await chmod(temporary, mode);
    await utimes(temporary, stats.atime, stats.mtime);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return true;
}

function temporaryName(): string {
  return `.agentkernel-${newId("req")}`;
}
