import { lstat, rm, rmdir, unlink } from "node:fs/promises";
import { HeldDirectory } from "../../base/beneath.ts";
import { errnoOf } from "../../base/error.ts";
import type { Changes } from "./changes.ts";
import { eachEntry } from "./copy.ts";
import { readManifest } from "./manifest.ts";
import { type Owner, placeEntry } from "./place.ts";

/**
 * Writes a copy's changes into the original. Deletions come first, children before parents; every parent directory is walked
 * without following symlinks, so a tree that was tampered with makes this fail rather than write elsewhere.
 */
export async function applyChanges(copy: string, original: string, changes: Changes): Promise<void> {
  await using from = await HeldDirectory.open(copy);
  await using to = await HeldDirectory.open(original);
  const top = await lstat(to.self);
  const owner: Owner | undefined = process.getuid?.() === 0 ? { uid: top.uid, gid: top.gid } : undefined;
  for (const path of changes.deleted) await removeEntry(to, path);
  const now = await readManifest(copy, { bytes: Number.MAX_SAFE_INTEGER, entries: 5_000_000 });
  const touched = new Set([...changes.created, ...changes.modified]);
  // the manifest's order has every directory before what it holds
  const ordered = [...now.keys()].filter((path) => touched.has(path));
  await eachEntry(from, to, ordered, async (source, target, name, path) => {
    const entry = now.get(path);
    if (entry !== undefined) await placeEntry(source, target, name, entry, owner);
  });
}

async function removeEntry(root: HeldDirectory, path: string): Promise<void> {
  const parts = path.split("/");
  const name = parts.pop();
  if (name === undefined) return;
  try {
    await using parent = await root.walk(parts);
    const at = parent.entry(name);
    if ((await lstat(at)).isDirectory()) await rmdir(at);
    else await unlink(at);
  } catch (error) {
    // gone already (its directory was replaced), or a directory that holds files which were never copied (FIFO, socket)
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTEMPTY") throw error;
  }
}

/** Removes a tree that only we use any more. */
export async function discard(tree: string): Promise<void> {
  await rm(tree, { recursive: true, force: true, maxRetries: 2 });
}
