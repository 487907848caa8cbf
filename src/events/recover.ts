import { constants } from "node:fs";
import { copyFile, open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { errnoOf, messageOf } from "../base/error.ts";
import { newId } from "../base/id.ts";
import type { Log } from "../base/log.ts";
import { auditLogEvent } from "./audit-log-event.ts";
import { ChainWriter } from "./chain-writer.ts";
import type { Signer } from "./checkpoint.ts";
import { completeEvent } from "./complete-event.ts";
import { encodeEvent } from "./encode-event.ts";
import { type LogFile, openExisting, realFiles, syncDirectory } from "./files.ts";
import { CHECKPOINTS, listSegments, segmentName } from "./layout.ts";
import { giveBack, isAbandoned, listOwners, type Owner, release, takeOver } from "./owner.ts";
import { readCheckpoints } from "./read-checkpoints.ts";
import { type ChainReport, verifyChain } from "./verify-chain.ts";

export type RecoverOptions = {
  readonly dir: string;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
  readonly hostname: string;
  readonly keepTampered: boolean;
};

export type Recovered = { readonly chain: string; readonly verdict: "recovered" | "tampered" | "unreadable"; readonly detail: string };

/** Finishes the chains of processes that died: cuts a torn tail (kept beside it), says so in the chain, signs its end. */
export async function recoverAbandoned(options: RecoverOptions): Promise<readonly Recovered[]> {
  const recovered: Recovered[] = [];
  for (const found of await listOwners(options.dir)) {
    if (!isAbandoned(found)) continue;
    const owner = await takeOver(options.dir, found);
    if (owner === undefined) continue;
    try {
      const outcome = await recoverChain(options, owner);
      // who refuses to go on leaves the chain as it was found, for the next to refuse too
      if (outcome.verdict === "tampered" && options.keepTampered) await giveBack(options.dir, owner, found);
      else await release(options.dir, owner);
      recovered.push(outcome);
      options.log[outcome.verdict === "recovered" ? "info" : "error"]("audit chain of an earlier process", outcome);
    } catch (error) {
      // it stays marked as ours, and is tried again by whoever finds us dead
      options.log.error("audit chain of an earlier process could not be finished", { chain: owner.chain, error: messageOf(error) });
      recovered.push({ chain: owner.chain, verdict: "unreadable", detail: messageOf(error) });
    }
  }
  return recovered;
}

async function recoverChain(options: RecoverOptions, owner: Owner): Promise<Recovered> {
  const { dir, signer, clock } = options;
  const { chain } = owner;
  const path = join(dir, chain);
  const segments = await listSegments(dir, chain);
  const newest = segments.at(-1);
  // it died before its first segment
  if (newest === undefined) return { chain, verdict: "recovered", detail: "nothing was written" };
  // signatures are for `verify`, which may know keys that this process does not have
  const report = await verifyChain({ dir, chain, anchors: [], isOpen: false, fromSeq: newest.firstSeq });
  if (isTampered(report)) return { chain, verdict: "tampered", detail: `${report.verdict} at event ${report.seq}: ${report.detail}` };
  const checkpoints = await readCheckpoints(join(path, CHECKPOINTS), chain, undefined);
  const kept = report.tail?.offset ?? checkpoints.abandoned.get(newest.name) ?? (await sizeOf(join(path, newest.name)));
  const torn = await cut(path, newest.name, kept);
  if (checkpoints.tornBytes > 0) await cut(path, CHECKPOINTS, checkpoints.tail.bytes);
  // an empty segment has the name that the next one needs
  if (segmentName(report.last.seq + 1) === newest.name) await realFiles.remove(join(path, newest.name));
  const file = await openOrCreate(join(path, CHECKPOINTS));
  const previous = segments.at(segmentName(report.last.seq + 1) === newest.name ? -2 : -1);
  const writer = await ChainWriter.open({
    files: realFiles,
    dir,
    chain,
    signer,
    clock,
    after: {
      position: report.last,
      segment: previous?.name ?? newest.name,
      bytes: previous === newest ? kept : 0,
      checkpoints: { file, tail: checkpoints.tail },
    },
  });
  try {
    const reason = `the process ended without closing its chain; finished by process ${process.pid} on ${options.hostname}`;
    const event = completeEvent(
      auditLogEvent("recovered", { segment: newest.name, first_seq: report.last.seq + 1, bytes: torn, reason }),
      clock.now(),
    );
    await writer.write([{ json: encodeEvent(event), isVoid: false }]);
    await writer.sync();
    await writer.checkpoint("stop", { sync: true });
  } finally {
    await writer.close();
  }
  return {
    chain,
    verdict: "recovered",
    detail: torn > 0 ? `${torn} torn bytes after event ${report.last.seq} were set aside` : `complete up to event ${report.last.seq}`,
  };
}

function isTampered(report: ChainReport): boolean {
  return report.verdict === "tampered" || report.verdict === "truncated";
}

/** Cuts a file at `length`; what was behind is kept in `NAME.gen_….torn`. Returns how much that was. */
async function cut(path: string, name: string, length: number): Promise<number> {
  const file = join(path, name);
  const excess = (await sizeOf(file)) - length;
  if (excess <= 0) return 0;
  const aside = `${file}.${newId("gen")}.torn`;
  await copyFile(file, aside, constants.COPYFILE_EXCL);
  await keepOnlyTail(aside, length, excess);
  await syncDirectory(path);
  const handle = await openExisting(file);
  try {
    await handle.truncate(length);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  return excess;
}

/** The copy shrinks to the torn bytes, which are few: at most one batch and what was not synced. */
async function keepOnlyTail(copy: string, from: number, length: number): Promise<void> {
  const handle = await open(copy, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const tail = Buffer.alloc(length);
    await handle.read(tail, 0, length, from);
    await handle.truncate(0);
    await handle.write(tail, 0, length, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file)).size;
}

async function openOrCreate(path: string): Promise<LogFile> {
  try {
    return await openExisting(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return realFiles.create(path);
    throw error;
  }
}
