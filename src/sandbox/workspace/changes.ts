import type { Entry, Manifest } from "./manifest.ts";

/** What differs between two readings of a tree; latin1 relative paths. */
export type Changes = {
  /** parents first */
  readonly created: readonly string[];
  readonly modified: readonly string[];
  /** children first */
  readonly deleted: readonly string[];
};

/** Compares a tree with what it was; anything that cannot be told apart from unchanged counts as unchanged. */
export function changesBetween(before: Manifest, after: Manifest): Changes {
  const created: string[] = [];
  const modified: string[] = [];
  const deleted: string[] = [];
  for (const [path, entry] of after) {
    const old = before.get(path);
    if (old === undefined) created.push(path);
    else if (old.kind !== entry.kind) {
      deleted.push(path);
      created.push(path);
    } else if (isModified(old, entry)) modified.push(path);
  }
  for (const path of before.keys()) if (!after.has(path)) deleted.push(path);
  return { created, modified, deleted: deleted.sort().reverse() };
}

export function isEmpty(changes: Changes): boolean {
  return changes.created.length + changes.modified.length + changes.deleted.length === 0;
}

function isModified(old: Entry, now: Entry): boolean {
  if (old.mode !== now.mode) return true;
  // a directory's times change with its entries, which are compared themselves
  if (now.kind === "directory") return false;
  if (now.kind === "symlink") return old.target !== now.target;
  return old.size !== now.size || old.mtimeNs !== now.mtimeNs || old.ctimeNs !== now.ctimeNs || old.inode !== now.inode;
}
