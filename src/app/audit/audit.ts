import { createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { systemClock } from "../../base/clock.ts";
import { AppError } from "../../base/error.ts";
import { silentLog } from "../../base/log.ts";
import type { HostEnvironment } from "../../config/env.ts";
import type { StatePaths } from "../../config/paths.ts";
import { auditLogEvent } from "../../events/audit-log-event.ts";
import { isChainId } from "../../events/chain.ts";
import { loadKey, trustedKeys } from "../../events/checkpoint-key.ts";
import type { TrustedKeys } from "../../events/checkpoint.ts";
import { openEventLog } from "../../events/open-log.ts";
import { followEvents } from "../../events/follow.ts";
import { readHeads } from "../../events/heads.ts";
import { replayPlaced } from "../../events/read-forward.ts";
import { isDenied, tailEvents, type TailQuery } from "../../events/tail.ts";
import { type LogReport, parseAnchors, verifyEventLog } from "../../events/verify-log.ts";
import type { AuditReport, AuditVerifyRequest, ChainHeadInfo } from "../../schema/delivery.ts";
import type { Event, NewEvent } from "../../schema/event.ts";
import type { EventFormat } from "../../schema/ocsf-version.ts";
import type { Config } from "../../schema/settings.ts";
import { withoutBodies } from "../../schema/shown-body.ts";
import type { AuditService, Caller } from "../facade.ts";

export { isDenied };

/** The audit log read from disk, whether or not a process of ours runs. */

export async function tailAudit(paths: StatePaths, query: Omit<TailQuery, "dir">): Promise<readonly Event[]> {
  return (await tailEvents({ dir: paths.events, ...query })).map(withoutBodies);
}

export async function followAudit(paths: StatePaths, signal: AbortSignal): Promise<AsyncGenerator<Event>> {
  return shown(await followEvents(paths.events, signal));
}

export async function auditHeads(paths: StatePaths, limit: number): Promise<readonly ChainHeadInfo[]> {
  const heads = await readHeads(paths.events, limit);
  return heads.map(({ chain, seq, hash, checkpointAt, isOpen }) => ({ chain, seq, hash, checkpoint: checkpointAt ?? null, open: isOpen }));
}

/** What is exported, and how: `sinceMs` 0 is everything. */
export type AuditExport = { readonly sinceMs: number; readonly format: EventFormat };

async function* exported(paths: StatePaths, { sinceMs, format }: AuditExport, hostname: string): AsyncGenerator<object> {
  // what writes events for others is loaded by those who want them
  const { encodeEvent } = await import("./encode-event.ts");
  for await (const placed of replayPlaced({ dir: paths.events, sinceMs })) yield* encodeEvent(placed, format, hostname);
}

async function* shown(events: AsyncGenerator<Event>): AsyncGenerator<Event> {
  for await (const event of events) yield withoutBodies(event);
}

/** @throws VALIDATION for a key or a position that is none */
export async function verifyAudit(paths: StatePaths, keyFile: string, request: AuditVerifyRequest = {}): Promise<AuditReport> {
  const { anchors = [] } = request;
  const parsed = parseAnchors(anchors.join("\n"));
  if (parsed.skipped > 0)
    throw new AppError("VALIDATION", `${parsed.skipped} of the anchors are neither checkpoint lines nor chain:seq:hash`, {
      hint: "agentkernel audit head prints such lines",
    });
  const from = fromOf(request.from);
  const keys = request.key === undefined ? await ownKeys(keyFile) : keysFrom(request.key);
  if (keys === undefined && (await readHeads(paths.events, 1)).length > 0) return withoutKey(keyFile);
  const report = await verifyEventLog({
    dir: paths.events,
    ...(keys === undefined ? {} : { keys }),
    anchors: parsed.anchors,
    ...from,
  });
  return reportOf(report);
}

/** The service behind the API. */
export function createAuditService(options: {
  readonly paths: StatePaths;
  /** named in records and OCSF events */
  readonly hostname: string;
  readonly config: () => Config;
  readonly report: (event: NewEvent) => Promise<unknown>;
}): AuditService {
  const { paths, config, report } = options;
  return {
    heads: (limit) => auditHeads(paths, limit),
    verify: (request) => verifyAudit(paths, checkpointKeyFile(config(), paths), request),
    async export(caller, wanted) {
      await report(exportRecord(caller, wanted));
      return exported(paths, wanted, options.hostname);
    },
  };
}

export function checkpointKeyFile(config: Config, paths: StatePaths): string {
  return config.audit.checkpointKey ?? paths.auditKey;
}

/** The same for the command line, which needs no server: the export is recorded in a chain of its own. */
export async function exportRecorded(
  app: { readonly config: Config; readonly paths: StatePaths; readonly env: HostEnvironment },
  caller: Caller,
  wanted: AuditExport,
): Promise<AsyncGenerator<object>> {
  const { config, paths, env } = app;
  const keyFile = checkpointKeyFile(config, paths);
  await using log = await openEventLog({ dir: paths.events, keyFile, clock: systemClock, log: silentLog, hostname: hostname() });
  await log.append(exportRecord(caller, wanted));
  return exported(paths, wanted, env.get("HOSTNAME") ?? hostname());
}

/** Files that the command line names, as the API takes them. @throws NOT_FOUND */
export async function readNamed(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AppError("NOT_FOUND", `${flag} ${file} cannot be read`, { cause: error });
  }
}

function exportRecord(caller: Caller, { sinceMs, format }: AuditExport): NewEvent {
  const what = sinceMs === 0 ? "everything" : `since ${new Date(sinceMs).toISOString()}`;
  const reason = format === "event" ? what : `${what}, as ${format === "native" ? "native records" : `OCSF ${format}`}`;
  return {
    ...auditLogEvent("export", { reason }),
    actor: caller.actor,
    ...(caller.requestId === undefined ? {} : { request_id: caller.requestId }),
  };
}

/** Never made here: signatures of a key that is new would all be wrong. */
async function ownKeys(keyFile: string): Promise<TrustedKeys | undefined> {
  const key = await loadKey(keyFile);
  return key === undefined ? undefined : trustedKeys([key.privateKey]);
}

function withoutKey(keyFile: string): AuditReport {
  const detail = `there is no key ${keyFile} to check signatures with: put it back, or name a file with its public half (--key)`;
  return { exit: 4, verdict: "unreadable", events: 0, bytes: 0, anchor: "no anchor", detail, chains: [] };
}

/** One or several: a key that was changed leaves chains that the one before signed. */
function keysFrom(text: string): TrustedKeys {
  const blocks = text.match(/-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----/g) ?? [text];
  try {
    return trustedKeys(blocks.map((pem) => createPublicKey(pem)));
  } catch (error) {
    throw new AppError("VALIDATION", "the key is no public key in PEM", { cause: error, hint: "openssl pkey -in audit.key -pubout" });
  }
}

function fromOf(from: string | undefined): { readonly chain?: string; readonly fromSeq?: number } {
  if (from === undefined) return {};
  const [, chain, seq] = /^(?:(chn_[0-9a-z]{24}):)?([1-9]\d{0,14})$/.exec(from) ?? [];
  if (seq === undefined || (chain !== undefined && !isChainId(chain)))
    throw new AppError("VALIDATION", `${JSON.stringify(from.slice(0, 80))} is not a position`, { hint: "write a number, or chain:number" });
  return { ...(chain === undefined ? {} : { chain }), fromSeq: Number(seq) };
}

function reportOf({ exit, verdict, events, bytes, anchor, chains, detail }: LogReport): AuditReport {
  return {
    exit,
    verdict,
    events,
    bytes,
    anchor,
    ...(detail === undefined ? {} : { detail }),
    chains: chains.map((chain) => ({
      chain: chain.chain,
      verdict: chain.verdict,
      ...(chain.kind === undefined ? {} : { kind: chain.kind }),
      ...(chain.seq === undefined ? {} : { seq: chain.seq }),
      ...(chain.segment === undefined ? {} : { segment: chain.segment }),
      ...(chain.detail === undefined ? {} : { detail: chain.detail }),
      first_seq: chain.firstSeq,
      last_seq: chain.last.seq,
      last_hash: chain.last.hash,
      events: chain.events,
      bytes: chain.bytes,
      checkpoints: chain.checkpoints,
      signatures: chain.signatures,
      open: chain.isOpen,
      anchor: chain.anchor,
    })),
  };
}
