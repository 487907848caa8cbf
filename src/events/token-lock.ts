import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import { newId } from "../base/id.ts";
import { livenessOf, ownIdentity } from "../base/process-identity.ts";

const FREE = "free";

/**
 * A lock between processes that no crash can leave taken: one file in a directory, whose name says who holds it. Taking it,
 * also from a dead holder, is one rename, which exactly one process can do.
 */
export async function tryTokenLock(dir: string): Promise<AsyncDisposable | undefined> {
  await ensureToken(dir);
  const { pid, startTicks, bootId, pidNamespace } = ownIdentity();
  const mine = ["held", bootId, pidNamespace, pid, startTicks, newId("gen")].join(".");
  for (const token of await readdir(dir)) {
    if (!isTakeable(token)) continue;
    try {
      await rename(join(dir, token), join(dir, mine));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") continue;
      throw error;
    }
    return { [Symbol.asyncDispose]: () => rename(join(dir, mine), join(dir, FREE)) };
  }
  return undefined;
}

function isTakeable(token: string): boolean {
  if (token === FREE) return true;
  const [, bootId = "", pidNamespace = "", pid = "", startTicks = ""] = token.split(".");
  return livenessOf({ bootId, pidNamespace, pid: Number(pid), startTicks }) === "dead";
}

/** The directory appears with its token inside, in one rename, so that there is never a second token. */
async function ensureToken(dir: string): Promise<void> {
  const fresh = `${dir}.${newId("gen")}`;
  try {
    await readdir(dir);
    return;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  await mkdir(fresh, { mode: 0o700 });
  await writeFile(join(fresh, FREE), "", { mode: 0o600 });
  try {
    await rename(fresh, dir);
  } catch (error) {
    await rm(fresh, { recursive: true });
    if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
  }
}
