import type { StatePaths } from "../config/paths.ts";
import { loadOrCreateKey, trustedKeys } from "../events/checkpoint-key.ts";
import { tailEvents, type TailQuery } from "../events/tail.ts";
import { type LogReport, verifyEventLog } from "../events/verify-log.ts";
import type { Event } from "../schema/event.ts";

/** The audit log read from disk, whether or not a process of ours runs. */

export function tailAudit(paths: StatePaths, query: Omit<TailQuery, "dir">): Promise<readonly Event[]> {
  return tailEvents({ dir: paths.events, ...query });
}

export async function verifyAudit(paths: StatePaths): Promise<LogReport> {
  const signer = await loadOrCreateKey(paths.auditKey);
  return verifyEventLog({ dir: paths.events, keys: trustedKeys([signer.privateKey]) });
}
