import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
} from "node:fs";
import { unlink } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { errnoOf } from "./error.ts";

const DIRECTORY = constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Not among Node's constants; asm-generic/fcntl.h, the same on x86-64 and arm64. */
const O_PATH = 0o10000000;
/** unlinks under way at a time; Node has four threads for them */
const AT_ONCE = 64;
/** directories between two turns of the event loop: looking at one takes some microseconds, in a thread of the pool ten times as long */
const PER_TURN = 64;

/**
 * Removes a tree whose content was made by somebody else, whatever it looks like; one that is not there is fine. Symlinks are removed,
 * not followed, and every name is resolved against a directory that is held: where root removes what another user owns, that user may
 * be swapping entries meanwhile (Node's own `rm` goes by paths, and would empty what a link leads to).
 */
export async function removeTree(path: string): Promise<void> {
  let top: Held;
  try {
    top = hold(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    // a link, or a file
    if (errnoOf(error) === "ELOOP" || errnoOf(error) === "ENOTDIR") return unlink(path);
    throw error;
  }
  try {
    await flatten(top);
  } finally {
    top[Symbol.dispose]();
  }
  rmdirSync(path);
}

/** Every directory is lifted to the top before it is emptied, so that no path is ever long and no descriptor is held per level. */
async function flatten(top: Held): Promise<void> {
  let lifted = 0;
  let emptied = 0;
  for (;;) {
    const directories = await removeFiles(top);
    if (directories.length === 0) return;
    for (const name of directories) {
      using directory = hold(top.entry(name));
      for (const below of await removeFiles(directory)) {
        const from = directory.entry(below);
        // a directory that moves gets another "..", which needs the right to write into it
        hold(from)[Symbol.dispose]();
        renameSync(
          from,
          freeName(top, () => `.lifted-${lifted++}`),
        );
      }
      rmdirSync(top.entry(name));
      emptied += 1;
      if (emptied % PER_TURN === 0) await turn();
    }
  }
}

/** Removes what is no directory; the names of those that are. */
async function removeFiles(directory: Held): Promise<readonly string[]> {
  const entries = readdirSync(directory.self, { encoding: "latin1", withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  for (let at = 0; at < files.length; at += AT_ONCE)
    await Promise.all(files.slice(at, at + AT_ONCE).map(({ name }) => unlink(directory.entry(name))));
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** A directory that stays the one that was opened; names are bytes, written as latin1. */
type Held = Disposable & { readonly self: string; readonly entry: (name: string) => Buffer };

/** Opens a directory that is to be emptied, with every right to it; as root it is root's from then on, so that nobody adds to it. */
function hold(path: string | Buffer): Held {
  const fd = openPermitted(path);
  try {
    if (process.getuid?.() === 0) fchownSync(fd, 0, 0);
    if ((fstatSync(fd).mode & 0o777) !== 0o700) fchmodSync(fd, 0o700);
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
