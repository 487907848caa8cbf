import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import { parseLine, type Position } from "./chain.ts";
import { CHECKPOINTS, listChains, listSegments } from "./layout.ts";
import { listOwners } from "./owner.ts";
import { readCheckpoints } from "./read-checkpoints.ts";

export type Head = Position & {
  readonly chain: string;
  /** RFC 3339 of the newest signed checkpoint */
  readonly checkpointAt: string | undefined;
  /** a process writes it */
  readonly isOpen: boolean;
};

/** Longer than any line. */
const TAIL = 160 * 1024;

/** Last lines of the newest chains, newest first. Kept elsewhere they are anchors. */
export async function readHeads(dir: string, limit: number): Promise<readonly Head[]> {
  const owned = new Set((await listOwners(dir)).map(({ chain }) => chain));
  const heads: Head[] = [];
  for (const chain of [...(await listChains(dir))].reverse()) {
    if (heads.length >= limit) break;
    const position = await lastPosition(dir, chain);
    if (position === undefined) continue;
    const { last } = await readCheckpoints(join(dir, chain, CHECKPOINTS), chain, undefined);
    heads.push({ chain, ...position, checkpointAt: last?.time, isOpen: owned.has(chain) });
  }
  return heads;
}

async function lastPosition(dir: string, chain: string): Promise<Position | undefined> {
  for (const { name } of [...(await listSegments(dir, chain))].reverse()) {
    const position = await lastOf(join(dir, chain, name));
    if (position !== undefined) return position;
  }
  return undefined;
}

/** The last whole line of a segment; undefined when there is none near its end. */
export async function lastOf(path: string): Promise<Position | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    // retention was faster
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    const offset = Math.max(0, size - TAIL);
    const bytes = Buffer.allocUnsafe(size - offset);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset);
    let end = bytes.subarray(0, bytesRead).lastIndexOf(0x0a);
    while (end > 0) {
      const start = bytes.lastIndexOf(0x0a, end - 1) + 1;
      const line = parseLine(bytes, start, end);
      if (line !== undefined) return { seq: line.seq, hash: line.hash };
      end = start - 1;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}
