import { chmod, lstat, mkdir } from "node:fs/promises";
import { background } from "../base/background.ts";
import type { Clock } from "../base/clock.ts";
import { AppError, isDiskFull, messageOf } from "../base/error.ts";
import { newId } from "../base/id.ts";
import type { Log } from "../base/log.ts";
import { auditLogEvent } from "./audit-log-event.ts";
import { ChainWriter } from "./chain-writer.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { ChainedLog } from "./chained-log.ts";
import { loadOrCreateKey } from "./checkpoint-key.ts";
import type { FindLagging } from "./delivery/undelivered.ts";
import { type LogFiles, realFiles } from "./files.ts";
import type { CommitLimits } from "./group-commit.ts";
import { ownersDir } from "./layout.ts";
import type { ChainedEventLog } from "./log.ts";
import { claimNew, release } from "./owner.ts";
import { recoverAbandoned } from "./recover.ts";
import { applyRetention, type Retention } from "./retention.ts";

export type EventLogOptions = {
  /** the log's directory, mode 0700, made when missing */
  readonly dir: string;
  /** Ed25519 private key in PEM that signs checkpoints, mode 0600, made when missing; lies apart from `dir` */
  readonly keyFile: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly hostname: string;
  /** `allow`: an append that could not be written resolves all the same, is counted in `stats().lost` and told by a gap event. Default `deny`. */
  readonly onFailure?: "deny" | "allow";
  /** a chain of an earlier process that was tampered with: `warn` (default) records a finding and goes on, `refuse` does not open */
  readonly onTampered?: "warn" | "refuse";
  /** how much and how long finished segments are kept; absent: for ever */
  readonly retention?: Retention;
  /** who has not received what, asked before segments are removed; absent: nothing is delivered */
  readonly lagging?: () => Promise<FindLagging>;
  /**
   * Past `retention.maxBytes`, when what could go was not delivered: `drop_oldest` (default) removes it and records the gap, `block`
   * lets new events wait, `deny` refuses them.
   */
  readonly onFull?: "drop_oldest" | "block" | "deny";
  /** `durable`: every event waits for the disk; default `by_class` */
  readonly durability?: "by_class" | "durable";
  /** overrides of {@link DEFAULT_LIMITS}, for tests and unusual disks */
  readonly limits?: Partial<CommitLimits>;
  /** file system of the writer; the real one unless a test says otherwise */
  readonly files?: LogFiles;
};

export const DEFAULT_LIMITS: CommitLimits = {
  batchEvents: 256,
  batchBytes: 4 << 20,
  heldBytes: 32 << 20,
  heldEvents: 20_000,
  gatherMs: 2,
  gatherEvents: 128,
  fastSyncMs: 500,
  retryMs: 1000,
  checkpointEvents: 1000,
  checkpointMs: 60_000,
  rotateBytes: 64 << 20,
  rotateMs: 24 * 60 * 60 * 1000,
};

/**
 * Opens a chain of this process's own, after finishing those that dead processes left.
 * @throws AppError STATE_UNUSABLE, DISK_FULL, AUDIT_UNAVAILABLE (`onTampered: "refuse"`)
 */
export async function openEventLog(options: EventLogOptions): Promise<ChainedEventLog> {
  const { dir, clock, log, hostname } = options;
  const files = options.files ?? realFiles;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  await prepareDirectory(dir);
  const signer = await loadOrCreateKey(options.keyFile);
  const recovered = await recoverAbandoned({ dir, signer, clock, log, hostname, keepTampered: options.onTampered === "refuse" });
  const tampered = recovered.filter((chain) => chain.verdict === "tampered");
  if (tampered.length > 0 && options.onTampered === "refuse")
    throw new AppError("AUDIT_UNAVAILABLE", `the audit log was tampered with: chain ${tampered[0]?.chain}: ${tampered[0]?.detail}`, {
      hint: "agentkernel audit verify",
    });
  const chain = newId("chn", clock.now());
  try {
    const owner = await claimNew(dir, chain);
    try {
      const writer = await ChainWriter.open({ files, dir, chain, signer, clock });
      const onFull = options.onFull ?? "drop_oldest";
      const retain = async (): Promise<boolean | undefined> => {
        const { retention } = options;
        if (retention === undefined) return undefined;
        const own = { chain, sign: (tombstone: Checkpoint) => writer.bury(tombstone) };
        const lagging = await options.lagging?.();
        const delivery = { keepsUndelivered: onFull !== "drop_oldest", ...(lagging === undefined ? {} : { lagging }) };
        return (await applyRetention({ dir, retention, signer, clock, log, own, deleted: note, ...delivery })).isFull;
      };
      const chained = new ChainedLog({
        writer,
        chain,
        clock,
        log,
        limits,
        onFailure: options.onFailure ?? "deny",
        retain,
        onFull: onFull === "deny" ? "deny" : "block",
        isAllDurable: options.durability === "durable",
        finished: () => release(dir, owner),
      });
      const note = (event: ReturnType<typeof auditLogEvent>): void => background("audit log event", chained.append(event), log);
      note(auditLogEvent("start", { reason: `process ${process.pid} on ${hostname}` }));
      for (const { chain: other, detail } of tampered) note(auditLogEvent("tampered", { segment: other, reason: detail }));
      chained.retain();
      return chained;
    } catch (error) {
      await release(dir, owner);
      throw error;
    }
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError(isDiskFull(error) ? "DISK_FULL" : "STATE_UNUSABLE", `cannot begin an audit chain in ${dir}: ${messageOf(error)}`, {
      cause: error,
      hint: isDiskFull(error) ? "free space on its file system" : "make it a writable directory that you own, mode 0700",
    });
  }
}

async function prepareDirectory(dir: string): Promise<void> {
  try {
    await mkdir(ownersDir(dir), { recursive: true, mode: 0o700 });
    const found = await lstat(dir);
    if (!found.isDirectory()) throw new Error("it is not a directory");
    if (process.getuid?.() !== found.uid && process.getuid?.() !== 0) throw new Error(`it belongs to uid ${found.uid}`);
    if ((found.mode & 0o077) !== 0) await chmod(dir, 0o700);
  } catch (error) {
    throw new AppError(isDiskFull(error) ? "DISK_FULL" : "STATE_UNUSABLE", `cannot use the audit directory ${dir}: ${messageOf(error)}`, {
      cause: error,
      hint: isDiskFull(error) ? "free space on its file system" : "make it a writable directory that you own, mode 0700",
    });
  }
}
