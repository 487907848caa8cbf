import { constants } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { timestamp, type Clock } from "../base/clock.ts";
import { messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import { auditLogEvent } from "./audit-log-event.ts";
import { parseLine, type Position } from "./chain.ts";
import { type Checkpoint, FIRST_CHECKPOINT, formatCheckpoint, type Signer } from "./checkpoint.ts";
import { CheckpointFile } from "./checkpoint-file.ts";
import { openExisting, realFiles, syncDirectory } from "./files.ts";
import type { FindLagging } from "./delivery/undelivered.ts";
import { CHECKPOINTS, listChains, listSegments, TOMBSTONES } from "./layout.ts";
import { forEachLine } from "./lines.ts";
import { listOwners } from "./owner.ts";
import { readCheckpoints } from "./read-checkpoints.ts";
import { tryTokenLock } from "./token-lock.ts";

export type Retention = {
  /** of all segments of all chains together */
  readonly maxBytes?: number;
  /** since the last write to a segment */
  readonly maxAgeMs?: number;
};

export type RetentionOptions = {
  readonly dir: string;
  readonly retention: Retention;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
  /** this process's own chain, whose checkpoint file has a writer */
  readonly own: { readonly chain: string; readonly sign: (tombstone: Checkpoint) => Promise<void> };
  /** who has not had everything of a chain up to a number; absent: nothing is delivered */
  readonly lagging?: FindLagging;
  /** what a sink has not had stays, whatever the limits; default: it goes, with a gap record */
  readonly keepsUndelivered?: boolean;
  /** told for each removal, to record it */
  readonly deleted: (event: ReturnType<typeof auditLogEvent>) => void;
};

export type Retained = {
  readonly segments: number;
  readonly bytes: number;
  /** past `maxBytes`, and what could go was not delivered; undefined: another process looks */
  readonly isFull: boolean | undefined;
};

type Held = {
  readonly chain: string;
  readonly name: string;
  readonly firstSeq: number;
  readonly bytes: number;
  readonly writtenMs: number;
  readonly next: string | undefined;
  /** infinite for a chain's last segment */
  readonly lastSeq: number;
  readonly isRemovable: boolean;
};

/**
 * Removes whole finished segments, oldest first, until the rest fits. Each removal is preceded by a signed tombstone on disk, from
 * which the chain still verifies. One process at a time does it; a chain that another living process writes is left to that one.
 */
export async function applyRetention(options: RetentionOptions): Promise<Retained> {
  const { dir, retention, clock, log } = options;
  await using lock = await tryTokenLock(join(dir, "retention"));
  let segments = 0;
  let bytes = 0;
  if (lock === undefined) return { segments, bytes, isFull: undefined };
  const held = await listHeld(options);
  let total = held.reduce((sum, segment) => sum + segment.bytes, 0);
  const oldest = clock.now() - (retention.maxAgeMs ?? Number.POSITIVE_INFINITY);
  // a chain's segments go in order; one that must stay keeps those behind it
  const stopped = new Set<string>();
  let isHeldBack = false;
  for (const segment of [...held].sort((a, b) => a.writtenMs - b.writtenMs || (a.chain === b.chain ? a.firstSeq - b.firstSeq : 0))) {
    const isDue = segment.writtenMs < oldest || total > (retention.maxBytes ?? Number.POSITIVE_INFINITY);
    if (!isDue || !segment.isRemovable || stopped.has(segment.chain)) {
      stopped.add(segment.chain);
      continue;
    }
    if (options.keepsUndelivered === true && options.lagging !== undefined && options.lagging(segment.chain, segment.lastSeq).length > 0) {
      isHeldBack = true;
      stopped.add(segment.chain);
      continue;
    }
    try {
      await remove(options, segment, segment.writtenMs < oldest ? "max_age" : "max_bytes");
      segments += 1;
      bytes += segment.bytes;
      total -= segment.bytes;
    } catch (error) {
      stopped.add(segment.chain);
      log.warn("audit segment could not be removed", { chain: segment.chain, segment: segment.name, error: messageOf(error) });
    }
  }
  return { segments, bytes, isFull: isHeldBack && total > (retention.maxBytes ?? Number.POSITIVE_INFINITY) };
}

async function listHeld({ dir, own }: RetentionOptions): Promise<readonly Held[]> {
  const foreign = new Set((await listOwners(dir)).map((owner) => owner.chain));
  foreign.delete(own.chain);
  const held: Held[] = [];
  for (const chain of await listChains(dir)) {
    const segments = await listSegments(dir, chain);
    for (const [index, { name, firstSeq }] of segments.entries()) {
      const { size, mtimeMs } = await stat(join(dir, chain, name));
      const following = segments[index + 1];
      const next = following?.name;
      held.push({
        chain,
        name,
        firstSeq,
        bytes: size,
        writtenMs: mtimeMs,
        next,
        lastSeq: following === undefined ? Number.POSITIVE_INFINITY : following.firstSeq - 1,
        isRemovable: chain === own.chain ? next !== undefined : !foreign.has(chain),
      });
    }
  }
  return held;
}

async function remove(options: RetentionOptions, segment: Held, reason: string): Promise<void> {
  const { dir, signer, own, clock, lagging } = options;
  const path = join(dir, segment.chain);
  const checkpoints = await readCheckpoints(join(path, CHECKPOINTS), segment.chain, undefined);
  const last = segment.next === undefined ? checkpoints.marks.at(-1) : await before(join(path, segment.next));
  if (last === undefined || checkpoints.problem !== undefined) throw new Error("what its last event is cannot be told");
  const missed = lagging?.(segment.chain, last.seq) ?? [];
  const tombstone: Checkpoint = {
    kind: "tombstone",
    chain: segment.chain,
    seq: last.seq,
    hash: last.hash,
    segment: segment.name,
    bytes: segment.bytes,
    time: timestamp(clock.now()),
  };
  if (segment.next === undefined) {
    await appendDurably(join(dir, TOMBSTONES), `${formatCheckpoint(tombstone, FIRST_CHECKPOINT, signer)}\n`);
    await rm(path, { recursive: true });
    await syncDirectory(dir);
  } else {
    if (segment.chain === own.chain) await own.sign(tombstone);
    else {
      const file = new CheckpointFile(await openExisting(join(path, CHECKPOINTS)), signer, checkpoints.tail);
      try {
        await file.append(tombstone, { sync: true });
      } finally {
        await file.close();
      }
    }
    await realFiles.remove(join(path, segment.name));
    await syncDirectory(path);
  }
  options.deleted(
    auditLogEvent("delete", {
      segment: `${segment.chain}/${segment.name}`,
      first_seq: segment.firstSeq,
      last_seq: last.seq,
      bytes: segment.bytes,
      reason,
    }),
  );
  for (const { sink, fromSeq } of missed) {
    const first = Math.max(fromSeq, segment.firstSeq);
    const lost = `${sink} had not received ${last.seq - first + 1} events when they were removed for ${reason}`;
    options.deleted(
      auditLogEvent("gap", { segment: `${segment.chain}/${segment.name}`, first_seq: first, last_seq: last.seq, reason: lost }),
    );
  }
}

/** The position before a segment, as its first line has it. */
async function before(path: string): Promise<Position | undefined> {
  let position: Position | undefined;
  await forEachLine(path, {}, (bytes, start, end) => {
    const line = parseLine(bytes, start, end);
    if (line !== undefined) position = { seq: line.seq - 1, hash: line.prev };
    return false;
  });
  return position;
}

async function appendDurably(path: string, text: string): Promise<void> {
  const handle = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    await handle.write(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
