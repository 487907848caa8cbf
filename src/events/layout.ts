import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import { isChainId } from "./chain.ts";

/**
 * Where things lie below the log's directory:
 *
 *     chn_…/0000000000000001.jsonl   segments, named by their first sequence number
 *     chn_…/checkpoints.jsonl        signed checkpoints and tombstones of the chain
 *     chn_…/….torn                   bytes that a crash left behind a last complete line
 *     owners/chn_….BOOT.NS.PID.START the writer of an unfinished chain, one empty file
 *     tombstones.jsonl               signed statements about chains that were removed whole
 */
export const CHECKPOINTS = "checkpoints.jsonl";
export const TOMBSTONES = "tombstones.jsonl";
const SEGMENT = /^([0-9]{16})\.jsonl$/;

export type SegmentName = { readonly name: string; readonly firstSeq: number };

export function segmentName(firstSeq: number): string {
  return `${String(firstSeq).padStart(16, "0")}.jsonl`;
}

export function ownersDir(dir: string): string {
  return join(dir, "owners");
}

/** Ids of all chains, oldest first (ids sort by time); empty when there is no log yet. */
export async function listChains(dir: string): Promise<readonly string[]> {
  return (await namesIn(dir)).filter(isChainId).sort();
}

/** Segments of a chain in order; empty when the chain is gone. */
export async function listSegments(dir: string, chain: string): Promise<readonly SegmentName[]> {
  const segments: SegmentName[] = [];
  for (const name of await namesIn(join(dir, chain))) {
    const match = SEGMENT.exec(name);
    if (match?.[1] !== undefined) segments.push({ name, firstSeq: Number(match[1]) });
  }
  return segments.sort((a, b) => a.firstSeq - b.firstSeq);
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
