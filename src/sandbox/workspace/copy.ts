import { lchown, lstat, mkdir } from "node:fs/promises";
import { HeldDirectory } from "../../base/beneath.ts";
import { AppError, isDiskFull, messageOf } from "../../base/error.ts";
import { inParallel } from "../../base/in-parallel.ts";
import { type Changes, changesBetween, isEmpty } from "./changes.ts";
import { Descent } from "./descent.ts";
import {
  AT_ONCE,
  DEFAULT_TREE_LIMITS,
  type Manifest,
  MAX_DEPTH,
  readHeldManifest,
  readManifest,
  SANDBOX_TREE_LIMITS,
  tooDeep,
  type TreeLimits,
} from "./manifest.ts";
import { type Owner, placeEntry } from "./place.ts";

/** A workspace that the sandbox works on as a copy, and what is needed to bring its changes back. */
export type WorkspaceCopy = {
  readonly original: string;
  readonly copy: string;
  /** the original as it was copied, to see whether the host changed it meanwhile */
  readonly originalBefore: Manifest;
  /** entries that cannot be copied (FIFO, socket, device), relative paths */
  readonly skipped: readonly string[];
};

/** Copies a tree whole, ignored files too; reflinks where the file system has them. `original` is a real path, `copy` must not exist. */
export async function copyWorkspace(
  original: string,
  copy: string,
  options: {
    readonly limits?: TreeLimits;
    readonly signal?: AbortSignal;
    readonly onProgress?: (copied: number, of: number) => void;
  } = {},
): Promise<WorkspaceCopy> {
  const { limits = DEFAULT_TREE_LIMITS, signal } = options;
  try {
    await using from = await HeldDirectory.openResolved(original);
    const originalBefore = await readHeldManifest(from, original, limits, signal);
    await mkdir(copy, { recursive: true, mode: 0o700 });
    const skipped: string[] = [];
    await using to = await HeldDirectory.open(copy);
    let copied = 0;
    await using source = new Descent(from);
    await using target = new Descent(to);
    for (const paths of neighbours(originalBefore)) {
      const first = await source.parentOf(paths[0] ?? "");
      const { directory } = await target.parentOf(paths[0] ?? "");
      await inParallel(paths, AT_ONCE, async (path) => {
        signal?.throwIfAborted();
        const entry = originalBefore.get(path);
        const name = path.slice(path.lastIndexOf("/") + 1);
        // nothing runs in it yet: what is placed there needs no temporary name
        if (entry === undefined || !(await placeEntry(first.directory, directory, name, entry, undefined, "fresh"))) skipped.push(path);
        copied += 1;
      });
      options.onProgress?.(copied, originalBefore.size);
    }
    return { original, copy, originalBefore, skipped };
  } catch (error) {
    if (error instanceof AppError || signal?.aborted === true) throw error;
    throw new AppError(isDiskFull(error) ? "DISK_FULL" : "VALIDATION", `could not copy the workspace ${original}: ${messageOf(error)}`, {
      cause: error,
      hint: "check that the directory is readable and that the disk has room, or choose another with --workspace DIR",
    });
  }
}

/** Paths in order, those together that stand in one directory one after another. */
function* neighbours(manifest: Manifest): Generator<readonly string[]> {
  let together: string[] = [];
  let parent: string | undefined;
  for (const path of manifest.keys()) {
    const above = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (above !== parent && together.length > 0) {
      yield together;
      together = [];
    }
    parent = above;
    together.push(path);
  }
  if (together.length > 0) yield together;
}

/** Hands a tree to an owner, symlinks not followed; skips the work when its top already belongs to them. */
export async function handOver(root: string, owner: Owner): Promise<void> {
  await using top = await HeldDirectory.open(root);
  const stats = await lstat(top.self);
  if (stats.uid === owner.uid && stats.gid === owner.gid) return;

  async function visit(directory: HeldDirectory, depth: number): Promise<void> {
    const directories: string[] = [];
    await inParallel(directory.entries(), AT_ONCE, async (entry) => {
      if (entry.isDirectory()) directories.push(entry.name);
      else await lchown(directory.entry(entry.name), owner.uid, owner.gid);
    });
    for (const name of directories) {
      // one descriptor a level: what a sandbox nests must not take all of ours
      if (depth === MAX_DEPTH) throw tooDeep(root);
      {
        await using below = await directory.descend(name);
        await visit(below, depth + 1);
      }
      await lchown(directory.entry(name), owner.uid, owner.gid);
    }
  }
  await visit(top, 1);
  // the top last: it is the mark that everything below is done
  await lchown(top.self, owner.uid, owner.gid);
}

/** What the sandbox changed in its copy; `copyBefore` is the copy's manifest after it was handed over. */
export async function copyChanges(copy: string, copyBefore: Manifest): Promise<Changes> {
  return changesBetween(copyBefore, await readManifest(copy, SANDBOX_TREE_LIMITS));
}

/** True when nobody changed the original since it was copied. */
export async function isOriginalUntouched(workspace: WorkspaceCopy): Promise<boolean> {
  await using original = await HeldDirectory.openResolved(workspace.original);
  const now = await readHeldManifest(original, workspace.original, SANDBOX_TREE_LIMITS);
  return isEmpty(changesBetween(workspace.originalBefore, now));
}

/** Calls `visit` for each path with its two parent directories held. */
export async function eachEntry(
  from: HeldDirectory,
  to: HeldDirectory,
  paths: Iterable<string>,
  visit: (from: HeldDirectory, to: HeldDirectory, name: string, path: string) => Promise<void>,
): Promise<void> {
  await using source = new Descent(from);
  await using target = new Descent(to);
  for (const path of paths) {
    const { directory, name } = await source.parentOf(path);
    await visit(directory, (await target.parentOf(path)).directory, name, path);
  }
}
