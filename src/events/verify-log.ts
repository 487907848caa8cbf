import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/error.ts";
import { START } from "./chain.ts";
import { isSignatureGood, parseCheckpoint, type TrustedKeys } from "./checkpoint.ts";
import { listChains, TOMBSTONES } from "./layout.ts";
import { forEachLine } from "./lines.ts";
import { isAbandoned, listOwners } from "./owner.ts";
import { type Anchor, type ChainReport, verifyChain } from "./verify-chain.ts";

/** 0 intact, 1 tampered, 2 truncated against an anchor, 3 crash tail only, 4 cannot read */
export type VerifyExit = 0 | 1 | 2 | 3 | 4;

export type LogReport = {
  readonly exit: VerifyExit;
  readonly verdict: ChainReport["verdict"];
  readonly events: number;
  readonly bytes: number;
  /** `no anchor`: a tail that was cut together with its checkpoints would not be found */
  readonly anchor: "external" | "no anchor";
  readonly chains: readonly ChainReport[];
  /** why nothing could be read */
  readonly detail?: string;
};

export type VerifyOptions = {
  readonly dir: string;
  /** whose signatures count, as from `trustedKeys`; absent: signatures are not checked, and the report says so */
  readonly keys?: TrustedKeys;
  readonly anchors?: readonly Anchor[];
  /** only this chain */
  readonly chain?: string;
  /** with `chain`: begin at the segment that holds this number */
  readonly fromSeq?: number;
};

// what decides the exit code when chains differ
const ORDER = ["tampered", "truncated", "unreadable", "crash_tail", "intact"] as const;
const EXITS: Readonly<Record<ChainReport["verdict"], VerifyExit>> = { intact: 0, tampered: 1, truncated: 2, crash_tail: 3, unreadable: 4 };

/** Re-hashes every chain over the raw bytes. Never throws for what it finds. */
export async function verifyEventLog(options: VerifyOptions): Promise<LogReport> {
  const anchors = options.anchors ?? [];
  const chains: ChainReport[] = [];
  try {
    await readdir(options.dir);
    const owners = await listOwners(options.dir);
    const open = new Set(owners.filter((owner) => !isAbandoned(owner)).map((owner) => owner.chain));
    const found = (await listChains(options.dir)).filter((chain) => options.chain === undefined || chain === options.chain);
    for (const chain of found) chains.push(await reportOn(chain, options, anchors, open.has(chain)));
    const removed = await removedChains(options.dir, options.keys);
    for (const anchor of anchors) {
      if (options.chain !== undefined && anchor.chain !== options.chain) continue;
      if (chains.some((report) => report.chain === anchor.chain) || (removed.get(anchor.chain) ?? -1) >= anchor.seq) continue;
      chains.push(empty(anchor.chain, "truncated", `the whole chain is gone, but its event ${anchor.seq} left the machine`));
    }
    if (options.chain !== undefined && chains.length === 0) chains.push(empty(options.chain, "unreadable", "there is no such chain"));
  } catch (error) {
    return { exit: 4, verdict: "unreadable", events: 0, bytes: 0, anchor: "no anchor", chains, detail: messageOf(error) };
  }
  const verdict = ORDER.find((candidate) => chains.some((chain) => chain.verdict === candidate)) ?? "intact";
  return {
    exit: EXITS[verdict],
    verdict,
    events: chains.reduce((sum, chain) => sum + chain.events, 0),
    bytes: chains.reduce((sum, chain) => sum + chain.bytes, 0),
    anchor: anchors.length > 0 ? "external" : "no anchor",
    chains,
  };
}

/** Anchors from a file of checkpoint lines or of `chain:seq:hash` heads, one a line; anything else is skipped and counted. */
export function parseAnchors(text: string): { readonly anchors: readonly Anchor[]; readonly skipped: number } {
  const anchors: Anchor[] = [];
  let skipped = 0;
  for (const line of text
    .split("\n")
    .map((part) => part.trim())
    .filter((part) => part !== "")) {
    const head = /^(chn_[0-9a-z]{24}):([1-9][0-9]{0,14}):([0-9a-f]{64})$/.exec(line);
    const checkpoint = parseCheckpoint(line);
    if (head !== null) anchors.push({ chain: head[1] ?? "", seq: Number(head[2]), hash: head[3] ?? "" });
    else if (checkpoint !== undefined && checkpoint.seq > 0)
      anchors.push({ chain: checkpoint.chain, seq: checkpoint.seq, hash: checkpoint.hash });
    else skipped += 1;
  }
  return { anchors, skipped };
}

async function reportOn(chain: string, options: VerifyOptions, anchors: readonly Anchor[], isOpen: boolean): Promise<ChainReport> {
  try {
    return await verifyChain({
      dir: options.dir,
      chain,
      anchors,
      isOpen,
      ...(options.keys === undefined ? {} : { keys: options.keys }),
      ...(options.fromSeq === undefined ? {} : { fromSeq: options.fromSeq }),
    });
  } catch (error) {
    return empty(chain, "unreadable", messageOf(error));
  }
}

/** Chains that retention removed whole, with their last number. */
async function removedChains(dir: string, keys: TrustedKeys | undefined): Promise<ReadonlyMap<string, number>> {
  const removed = new Map<string, number>();
  if (!(await readdir(dir)).includes(TOMBSTONES)) return removed;
  await forEachLine(join(dir, TOMBSTONES), {}, (bytes, start, end) => {
    const line = bytes.toString("latin1", start, end);
    const tombstone = parseCheckpoint(line);
    if (tombstone?.kind === "tombstone" && (keys === undefined || isSignatureGood(line, keys))) removed.set(tombstone.chain, tombstone.seq);
    return true;
  });
  return removed;
}

function empty(chain: string, verdict: ChainReport["verdict"], detail: string): ChainReport {
  return {
    chain,
    verdict,
    detail,
    firstSeq: 1,
    last: START,
    events: 0,
    bytes: 0,
    checkpoints: 0,
    signatures: "unchecked",
    isOpen: false,
    anchor: "none",
  };
}
