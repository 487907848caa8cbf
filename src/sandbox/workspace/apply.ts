import { lstat, rmdir, unlink } from "node:fs/promises";
import { HeldDirectory } from "../../base/beneath.ts";
import { AppError, errnoOf } from "../../base/error.ts";
import type { Changes } from "./changes.ts";
import { eachEntry } from "./copy.ts";
import { Descent } from "./descent.ts";
import { DEFAULT_TREE_LIMITS, type Manifest, readManifest, SANDBOX_TREE_LIMITS } from "./manifest.ts";
import { type Owner, placeEntry } from "./place.ts";

/**
 * Writes a copy's changes into the original. Deletions come first, children before parents; every parent directory is walked
 * without following symlinks, so a tree that was tampered with makes this fail rather than write elsewhere.
 * @throws TOO_LARGE before anything was written
 */
export async function applyChanges(copy: string, original: string, changes: Changes): Promise<void> {
  await using from = await HeldDirectory.open(copy);
  await using to = await HeldDirectory.openResolved(original);
  const top = await lstat(to.self);
  const owner: Owner | undefined = process.getuid?.() === 0 ? { uid: top.uid, gid: top.gid } : undefined;
  const now = await readManifest(copy, SANDBOX_TREE_LIMITS);
  const touched = new Set([...changes.created, ...changes.modified]);
  refuseFlood(now, touched);
  await using descent = new Descent(to);
  for (const path of changes.deleted) await removeEntry(descent, path);
  // the manifest's order has every directory before what it holds
  const ordered = [...now.keys()].filter((path) => touched.has(path));
  await eachEntry(from, to, ordered, async (source, target, name, path) => {
    const entry = now.get(path);
    if (entry !== undefined) await placeEntry(source, target, name, entry, owner);
  });
}

async function removeEntry(descent: Descent, path: string): Promise<void> {
  try {
    const { directory, name } = await descent.parentOf(path);
    const at = directory.entry(name);
    if ((await lstat(at)).isDirectory()) await rmdir(at);
    else await unlink(at);
  } catch (error) {
    // gone already (its directory was replaced), or a directory that holds files which were never copied (FIFO, socket)
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTEMPTY") throw error;
  }
}

/** A sparse file takes no room in the copy, and all of its size in the original. What is past the limit could not be copied again either. */
function refuseFlood(now: Manifest, touched: ReadonlySet<string>): void {
  let bytes = 0n;
  for (const path of touched) {
    const entry = now.get(path);
    if (entry?.kind === "file") bytes += entry.size;
  }
  if (bytes <= BigInt(DEFAULT_TREE_LIMITS.bytes) && touched.size <= DEFAULT_TREE_LIMITS.entries) return;
  throw new AppError(
    "TOO_LARGE",
    `the changes are larger than ${DEFAULT_TREE_LIMITS.bytes / 1024 ** 3} GiB or ${DEFAULT_TREE_LIMITS.entries} files, too large to write back`,
  );
}
