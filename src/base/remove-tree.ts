import { chmodSync, closeSync, constants, fchmodSync, fchownSync, fstatSync, lstatSync, opendirSync, openSync, renameSync } from "node:fs";
import { rmdir, unlink } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { errnoOf } from "./error.ts";

const DIRECTORY = constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Not among Node's constants; asm-generic/fcntl.h, the same on x86-64 and arm64. */
const O_PATH = 0o10000000;
/** removals under way at a time; Node has four threads for them. Looking at so many takes less than a millisecond of this one */
const AT_ONCE = 32;
/** directories within one another that are held at a time */
const MAX_HELD = 32;
/** directories of one directory that are dealt with before it is read again */
const MAX_NAMED = 10_000;

/**
 * Removes a tree whose content was made by somebody else, whatever it looks like; one that is not there is fine. Symlinks are removed,
 * not followed, and every name is resolved against a directory that is held: where root removes what another user owns, that user may
 * be swapping entries meanwhile (Node's own `rm` goes by paths, and would empty what a link leads to). Several may remove the same tree
 * at once, as two processes do that clear up after a third: what another took first is gone, and that is all that is asked for.
 */
export async function removeTree(path: string): Promise<void> {
  let top: Held;
  try {
    top = hold(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    // a link, or a file
    if (errnoOf(error) === "ELOOP" || errnoOf(error) === "ENOTDIR") return unlink(path).catch(gone);
    throw error;
  }
  let lifted = 0;
  const lift = (from: Buffer): void =>
    renameSync(
      from,
      freeName(top, () => `.lifted-${process.pid}-${lifted++}`),
    );
  try {
    await empty(top, 0, lift);
  } catch (error) {
    gone(error);
  } finally {
    top[Symbol.dispose]();
  }
  await rmdir(path).catch(gone);
}

function gone(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}

/** Empties a directory. What lies too deep is lifted to the top, whose turn it then is: no path is ever long, and few descriptors are held. */
async function empty(directory: Held, depth: number, lift: (from: Buffer) => void): Promise<void> {
  let more = true;
  for (let found = await removeFiles(directory); found.length > 0 && more; found = await removeFiles(directory)) {
    // a file system that lists what is not there would keep us here forever
    more = false;
    for (let at = 0; at < found.length; at += AT_ONCE) {
      const emptied: Buffer[] = [];
      for (const name of found.slice(at, at + AT_ONCE)) {
        const path = directory.entry(name);
        try {
          // also where it is only moved: it gets another "..", which needs the right to write into it
          using below = hold(path);
          if (depth === MAX_HELD) lift(path);
          else {
            await empty(below, depth + 1, lift);
            emptied.push(path);
          }
          more = true;
        } catch (error) {
          gone(error);
        }
      }
      // not before they are closed, and never in this thread: the file system frees what they took with the last of both
      await Promise.all(emptied.map((path) => rmdir(path).catch(gone)));
      await turn();
    }
  }
}

/**
 * Removes what is no directory; the names of those that are. It reads a part at a time, since whoever made it may have filled it with
 * more than fits into memory; of many directories it names a part as well, and the rest is found the next time.
 */
async function removeFiles(directory: Held): Promise<readonly string[]> {
  const directories: string[] = [];
  const listing = opendirSync(directory.self, { encoding: "latin1", bufferSize: AT_ONCE });
  try {
    for (let more = true; more && directories.length < MAX_NAMED; ) {
      const files: string[] = [];
      while (more && files.length < AT_ONCE && directories.length < MAX_NAMED) {
        const entry = listing.readSync();
        if (entry === null) more = false;
        else (entry.isDirectory() ? directories : files).push(entry.name);
      }
      await Promise.all(files.map((name) => unlink(directory.entry(name)).catch(gone)));
    }
  } finally {
    listing.closeSync();
  }
  return directories;
}

/** A directory that stays the one that was opened; names are bytes, written as latin1. */
type Held = Disposable & { readonly self: string; readonly entry: (name: string) => Buffer };

/** Opens a directory that is to be emptied, with every right to it; as root it is root's from then on, so that nobody adds to it. */
function hold(path: string | Buffer): Held {
  const fd = openPermitted(path);
  try {
    const { uid, mode } = fstatSync(fd);
    if (uid !== 0 && process.getuid?.() === 0) fchownSync(fd, 0, 0);
    if ((mode & 0o777) !== 0o700) fchmodSync(fd, 0o700);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const self = `/proc/self/fd/${fd}/`;
  return {
    self,
    entry: (name) => Buffer.concat([Buffer.from(self), Buffer.from(name, "latin1")]),
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** One of ours that may not be read is made readable, through a descriptor that follows no link. */
function openPermitted(path: string | Buffer): number {
  try {
    return openSync(path, constants.O_RDONLY | DIRECTORY);
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
  }
  const fd = openSync(path, O_PATH | DIRECTORY);
  try {
    chmodSync(`/proc/self/fd/${fd}`, 0o700);
    return openSync(`/proc/self/fd/${fd}/.`, constants.O_RDONLY | constants.O_DIRECTORY);
  } finally {
    closeSync(fd);
  }
}

/** A name that nothing has yet: rename(2) replaces an empty directory, and fails on one that is not. */
function freeName(top: Held, next: () => string): Buffer {
  for (;;) {
    const at = top.entry(next());
    if (lstatSync(at, { throwIfNoEntry: false }) === undefined) return at;
  }
}
