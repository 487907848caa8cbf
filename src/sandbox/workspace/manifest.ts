import type { BigIntStats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { AppError } from "../../base/error.ts";
import { HeldDirectory } from "../../base/beneath.ts";
import { inParallel } from "../../base/in-parallel.ts";

/** What is remembered of one entry, to see later whether it changed. `ctimeNs` cannot be set back by its owner. */
export type Entry = {
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly mode: number;
  readonly inode: bigint;
  /** of a symlink */
  readonly target?: string;
};

/** Relative path (bytes as latin1, joined by `/`) to entry; a directory stands before what it holds. */
export type Manifest = ReadonlyMap<string, Entry>;

export type TreeLimits = { readonly bytes: number; readonly entries: number };

export const DEFAULT_TREE_LIMITS: TreeLimits = { bytes: 4 * 1024 ** 3, entries: 500_000 };

/** bytes of all paths and targets of links together: every path is held whole, and two manifests become one text */
export const MAX_NAMES = 128 * 1024 ** 2;

/** What a sandbox may have made of its copy and we still look at, so that its changes can be told. */
export const SANDBOX_TREE_LIMITS: TreeLimits = { bytes: Number.MAX_SAFE_INTEGER, entries: 1_000_000 };

/** directories within one another: each is an open descriptor while a tree is read */
export const MAX_DEPTH = 512;
/** system calls under way: the thread pool is kept busy, and other work gets its turn */
export const AT_ONCE = 16;
/** bytes of a relative path, as PATH_MAX of limits.h: past it no program can name the file, and a listing would need the square of its depth */
const MAX_PATH = 4_095;

/** Reads a tree without following any symlink. @throws TOO_LARGE past the limits */
export async function readManifest(root: string, limits: TreeLimits = DEFAULT_TREE_LIMITS): Promise<Manifest> {
  await using top = await HeldDirectory.open(root);
  return await readHeldManifest(top, root, limits);
}

/** The same of a directory that is held; `root` is what errors call it. */
export async function readHeldManifest(top: HeldDirectory, root: string, limits: TreeLimits, signal?: AbortSignal): Promise<Manifest> {
  const manifest = new Map<string, Entry>();
  let bytes = 0n;
  let names = 0;

  async function visit(directory: HeldDirectory, prefix: string, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw tooDeep(root);
    const directories: string[] = [];
    await inParallel(directory.entries(), AT_ONCE, async ({ name }) => {
      signal?.throwIfAborted();
      const at = directory.entry(name);
      const stats = await lstat(at, { bigint: true });
      const path = prefix === "" ? name : `${prefix}/${name}`;
      if (path.length > MAX_PATH) throw tooDeep(root);
      const target = stats.isSymbolicLink() ? await readlink(at, { encoding: "latin1" }) : undefined;
      names += path.length + (target?.length ?? 0);
      if (names > MAX_NAMES) throw tooMuchToName(root);
      manifest.set(path, entryOf(stats, target));
      if (stats.isFile()) bytes += stats.size;
      if (manifest.size > limits.entries || bytes > BigInt(limits.bytes)) throw tooLarge(root, limits);
      if (stats.isDirectory()) directories.push(name);
    });
    for (const name of directories) {
      await using below = await directory.descend(name);
      await visit(below, prefix === "" ? name : `${prefix}/${name}`, depth + 1);
    }
  }
  await visit(top, "", 1);
  return manifest;
}

function entryOf(stats: BigIntStats, target: string | undefined): Entry {
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "symlink" : "other",
    size: stats.size,
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
    mode: Number(stats.mode & 0o7777n),
    inode: stats.ino,
    ...(target === undefined ? {} : { target }),
  };
}

function tooLarge(root: string, limits: TreeLimits): AppError {
  return new AppError(
    "TOO_LARGE",
    `the workspace ${root} is larger than ${limits.bytes / 1024 ** 3} GiB or ${limits.entries} files, too large to copy`,
    { hint: "give a smaller directory with --workspace DIR, or run as the user who owns it so that no copy is needed" },
  );
}

function tooMuchToName(root: string): AppError {
  return new AppError("TOO_LARGE", `the paths of all files in ${root} are longer than ${MAX_NAMES / 1024 ** 2} MiB together`, {
    hint: "remove what is nested so deeply",
  });
}

/** The top of a tree is not named by its content: a name in it may be long and somebody else's. */
export function tooDeep(root: string): AppError {
  return new AppError("TOO_LARGE", `${root} holds directories nested deeper than ${MAX_DEPTH}, or paths longer than ${MAX_PATH} bytes`, {
    hint: "remove what is nested so deeply",
  });
}
