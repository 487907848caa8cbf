import { open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import { livenessOf, ownIdentity, type ProcessIdentity } from "../base/process-identity.ts";
import { isChainId } from "./chain.ts";
import { ownersDir } from "./layout.ts";

/**
 * A chain that is being written has one empty file in `owners/` whose name says who writes it. Taking a dead process's chain
 * over is one rename of that name, which exactly one of several processes can do (rename(2): the others get ENOENT).
 */
export type Owner = { readonly chain: string; readonly process: ProcessIdentity; readonly name: string };

export async function claimNew(dir: string, chain: string): Promise<Owner> {
  const owner = ownerOf(chain, ownIdentity());
  const handle = await open(join(ownersDir(dir), owner.name), "wx", 0o600);
  await handle.close();
  return owner;
}

export async function listOwners(dir: string): Promise<readonly Owner[]> {
  let names: readonly string[];
  try {
    names = await readdir(ownersDir(dir));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  return names.flatMap((name) => parseOwner(name) ?? []);
}

/** The chain is ours now; undefined when another process was faster. */
export async function takeOver(dir: string, from: Owner): Promise<Owner | undefined> {
  const owner = ownerOf(from.chain, ownIdentity());
  try {
    await rename(join(ownersDir(dir), from.name), join(ownersDir(dir), owner.name));
    return owner;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Undoes {@link takeOver}. */
export async function giveBack(dir: string, owner: Owner, to: Owner): Promise<void> {
  await rename(join(ownersDir(dir), owner.name), join(ownersDir(dir), to.name));
}

/** The chain is finished. */
export async function release(dir: string, owner: Owner): Promise<void> {
  await unlink(join(ownersDir(dir), owner.name));
}

export function isAbandoned(owner: Owner): boolean {
  return livenessOf(owner.process) === "dead";
}

function ownerOf(chain: string, process: ProcessIdentity): Owner {
  return { chain, process, name: [chain, process.bootId, process.pidNamespace, process.pid, process.startTicks].join(".") };
}

function parseOwner(name: string): Owner | undefined {
  const [chain = "", bootId, pidNamespace, pid, startTicks] = name.split(".");
  if (!isChainId(chain) || bootId === undefined || pidNamespace === undefined || pid === undefined || startTicks === undefined)
    return undefined;
  return { chain, name, process: { bootId, pidNamespace, pid: Number(pid), startTicks } };
}
