import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { membersOf, parseJson } from "../../base/parse-json.ts";
import { replaceFile } from "./atomic-file.ts";
import { sinkDirectory } from "./place.ts";
import type { SinkOwner } from "./sink-spec.ts";

const FILE = "owner.json";
/** ms for which a sink of another configuration counts as one that will come back for its events */
const REMEMBERED_MS = 24 * 60 * 60 * 1000;

/**
 * Notes whose sink it is that is about to be delivered to. Two configurations that use one name for two places would share a
 * position, and each would get what the other does not: the second is refused, with the sentence that says so. Whoever moved a
 * destination in its own file goes on where it was.
 */
export async function claimSink(dir: string, sink: string, owner: SinkOwner): Promise<string | undefined> {
  const path = join(sinkDirectory(dir, sink), FILE);
  const known = await readOwner(path);
  if (known !== undefined && known.config !== owner.config && known.place !== owner.place && (await exists(known.config)))
    // not which one: the path of a webhook is often its password
    return `${known.config} uses the name ${sink} for another destination: give it another name in ${owner.config}`;
  await mkdir(sinkDirectory(dir, sink), { recursive: true, mode: 0o700 });
  await replaceFile(path, `${JSON.stringify(owner)}\n`);
  return undefined;
}

/** Sinks of other configurations that were delivered to lately. */
export async function foreignSinks(dir: string, config: string | null, nowMs: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await namesIn(dir)) {
    const path = join(sinkDirectory(dir, name), FILE);
    const owner = await readOwner(path);
    if (owner === undefined || owner.config === config || !(await exists(owner.config))) continue;
    if (nowMs - (await stat(path)).mtimeMs < REMEMBERED_MS) found.push(name);
  }
  return found;
}

async function readOwner(path: string): Promise<SinkOwner | undefined> {
  try {
    const { config, place } = membersOf(parseJson(await readFile(path, "utf8")));
    return typeof config === "string" && typeof place === "string" ? { config, place } : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
