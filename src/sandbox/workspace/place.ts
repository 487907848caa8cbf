import { constants, type Stats } from "node:fs";
import { copyFile, type FileHandle, lchown, lstat, mkdir, open, readlink, rename, rm, symlink } from "node:fs/promises";
import type { HeldDirectory } from "../../base/beneath.ts";
import { newId } from "../../base/id.ts";
import type { Entry } from "./manifest.ts";

const COPY_BYTES = 256 * 1024;

export type Owner = { readonly uid: number; readonly gid: number };

/**
 * Puts one entry of `from` into `to` under the same name, replacing what is there. Regular files arrive by rename, so a reader
 * sees the old or the new file; set-user-id and set-group-id bits never carry over. Neither side's symlinks are followed.
 * In a `fresh` place, which nobody else sees and where no entry stands, files are written under their own names.
 * Entries that are no file, directory or symlink (FIFO, socket, device) are not carried over: returns false.
 */
export async function placeEntry(
  from: HeldDirectory,
  to: HeldDirectory,
  name: string,
  entry: Entry,
  owner: Owner | undefined,
  place: "fresh" | "shared" = "shared",
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
      return placeFile(source, target, place === "fresh" ? undefined : to.entry(temporaryName()), entry.mode & 0o777, owner);
    case "other":
      return false;
    default:
      return entry.kind satisfies never;
  }
}

/** Owner and mode are set through descriptors: whoever may write into `to` can put a link in an entry's place at any moment. */
async function placeDirectory(target: Buffer, mode: number, owner: Owner | undefined): Promise<void> {
  const existing = await lstat(target).catch(() => undefined);
  if (existing === undefined) await mkdir(target, { mode: 0o700 });
  else if (!existing.isDirectory()) {
    await rm(target);
    await mkdir(target, { mode: 0o700 });
  }
  await using held = await open(target, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  if (owner !== undefined) await held.chown(owner.uid, owner.gid);
  await held.chmod(mode);
}

async function placeFile(
  source: Buffer,
  target: Buffer,
  temporary: Buffer | undefined,
  mode: number,
  owner: Owner | undefined,
): Promise<boolean> {
  // O_NONBLOCK: a FIFO put here between the listing and now must not hang us
  await using held = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const stats = await held.stat();
  if (!stats.isFile()) return false;
  const first = temporary ?? target;
  await using made = await open(first, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    await copyContent(held, made, stats);
    if (owner !== undefined) await made.chown(owner.uid, owner.gid);
    await made.chmod(mode);
    await made.utimes(stats.atime, stats.mtime);
    if (temporary !== undefined) await rename(temporary, target);
  } catch (error) {
    await rm(first, { force: true });
    throw error;
  }
  return true;
}

/**
 * libuv's copy gives the target the whole mode of the source, set-user-id bit and all: such a program of somebody else's would be
 * ours for a moment. And it opens both files again: what a few reads copy is faster without it, and shares no block worth sharing.
 */
async function copyContent(from: FileHandle, to: FileHandle, { mode, size }: Stats): Promise<void> {
  if ((mode & 0o7000) === 0 && size > COPY_BYTES)
    return copyFile(`/proc/self/fd/${from.fd}`, `/proc/self/fd/${to.fd}`, constants.COPYFILE_FICLONE);
  // one byte more than it has: what comes short is all of it
  const chunk = Buffer.allocUnsafe(Math.min(COPY_BYTES, size + 1));
  for (;;) {
    const { bytesRead } = await from.read(chunk, 0, chunk.length, null);
    // at the present position, and all of it
    if (bytesRead > 0) await to.writeFile(chunk.subarray(0, bytesRead));
    if (bytesRead < chunk.length) return;
  }
}

function temporaryName(): string {
  return `.agentkernel-${newId("req")}`;
}
