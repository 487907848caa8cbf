import { accessSync, closeSync, constants, fstatSync, openSync } from "node:fs";
import { stat } from "node:fs/promises";
import { AppError, errnoOf } from "../../base/error.ts";
import type { FileOwner } from "../../sandbox/backend.ts";
import { isOutOfDescriptors, outOfDescriptors } from "./stage-one.ts";

/** Not among Node's constants; asm-generic/fcntl.h, the same on x86-64 and arm64. */
const O_PATH = 0o10000000;
const READ = 4;
const EXECUTE = 1;

export type HeldPath = Disposable & {
  readonly path: string;
  /** of what stands there, and stays what it is as long as this is held */
  readonly device: bigint;
  readonly inode: bigint;
  readonly isDirectory: boolean;
};

/**
 * Opens a directory (or a file) component by component without following a symlink, so that what was judged is what gets mounted,
 * whatever the sandbox swaps meanwhile. With `reader`, also refuses what that uid could not reach or list: bwrap resolves the
 * descriptor's path once more as that uid. (Access control lists beyond mode bits are not seen; they may only permit less here.)
 * @throws AppError VALIDATION that names the component
 */
export async function holdPath(path: string, what: string, reader?: FileOwner): Promise<HeldPath> {
  if (!path.startsWith("/") || path.includes("\0"))
    throw new AppError("VALIDATION", `${what} must be an absolute path: ${JSON.stringify(path)}`);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new AppError("VALIDATION", `${what} must not contain "..": ${path}`);
  // a network or automatic mount is waited for here, in another thread; the walk then finds what the kernel remembers, and its two
  // dozen calls take microseconds where each would take a tenth of a millisecond by way of the thread pool
  await stat(path).catch(() => undefined);
  return walk(path, parts, what, reader);
}

function walk(path: string, parts: readonly string[], what: string, reader: FileOwner | undefined): HeldPath {
  let at = openSync("/", O_PATH | constants.O_DIRECTORY);
  try {
    for (const [index, part] of parts.entries()) {
      const here = `/${parts.slice(0, index + 1).join("/")}`;
      if (reader !== undefined) assertPassage(fstatSync(at), parts.slice(0, index), what, path, reader);
      const next = descend(at, part, here, what, index < parts.length - 1);
      closeSync(at);
      at = next;
    }
    const info = fstatSync(at);
    const { dev: device, ino: inode } = fstatSync(at, { bigint: true });
    if (!info.isDirectory() && !info.isFile()) throw new AppError("VALIDATION", `${what} ${path} is neither a directory nor a file`);
    if (reader !== undefined) assertReadable(info, what, path, reader);
    else assertReadableByUs(at, info, what, path);
    const held = at;
    return { path, device, inode, isDirectory: info.isDirectory(), [Symbol.dispose]: () => closeSync(held) };
  } catch (error) {
    closeSync(at);
    throw error;
  }
}

function descend(above: number, part: string, here: string, what: string, isInner: boolean): number {
  let next: number;
  try {
    next = openSync(`/proc/self/fd/${above}/${part}`, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    if (isOutOfDescriptors(error)) throw outOfDescriptors(error);
    const missing = errnoOf(error) === "ENOENT";
    throw new AppError("VALIDATION", missing ? `${what}: ${here} does not exist` : `${what}: ${here} cannot be opened`, { cause: error });
  }
  // O_PATH with O_NOFOLLOW opens the link itself
  const info = fstatSync(next);
  if (!info.isSymbolicLink() && (info.isDirectory() || !isInner)) return next;
  closeSync(next);
  const problem = info.isSymbolicLink() ? "is a symlink, which is not followed here" : "is not a directory";
  throw new AppError(
    "VALIDATION",
    `${what}: ${here} ${problem}`,
    info.isSymbolicLink() ? { hint: `give the path that it stands for: realpath ${here}` } : {},
  );
}

function assertPassage(info: ModeBits, above: readonly string[], what: string, path: string, reader: FileOwner): void {
  if (permits(info, reader, EXECUTE)) return;
  const here = `/${above.join("/")}`;
  throw new AppError(
    "VALIDATION",
    `${what} ${path} cannot be reached by the sandbox, which runs as uid ${reader.uid}: ${here} is closed to it`,
    { hint: `chmod o+x ${here}, or choose a directory that uid ${reader.uid} can reach` },
  );
}

function assertReadable(info: ModeBits, what: string, path: string, reader: FileOwner): void {
  if (permits(info, reader, info.isDirectory() ? READ | EXECUTE : READ)) return;
  throw new AppError("VALIDATION", `${what} ${path} cannot be read by the sandbox, which runs as uid ${reader.uid}`, {
    hint: `chmod o+rx ${path}, or give it to uid ${reader.uid}`,
  });
}

/** The sandbox's uid is ours, and all that it could do with such a path is to find it closed. */
function assertReadableByUs(fd: number, info: ModeBits, what: string, path: string): void {
  try {
    accessSync(`/proc/self/fd/${fd}`, info.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
  } catch (error) {
    throw new AppError("VALIDATION", `${what} ${path} cannot be read by you, as whom the sandbox runs (${errnoOf(error) ?? "failed"})`, {
      hint: "choose one that you can read",
      cause: error,
    });
  }
}

export type ModeBits = { readonly mode: number; readonly uid: number; readonly gid: number; isDirectory(): boolean };

export function permits(info: ModeBits, reader: FileOwner, wanted: number): boolean {
  const shift = info.uid === reader.uid ? 6 : info.gid === reader.gid ? 3 : 0;
  return ((info.mode >> shift) & wanted) === wanted;
}
