import { join } from "node:path";
import { type Position, START } from "./chain.ts";
import type { TrustedKeys } from "./checkpoint.ts";
import type { Finding, TamperKind } from "./diagnose.ts";
import { CHECKPOINTS, listSegments } from "./layout.ts";
import { readCheckpoints } from "./read-checkpoints.ts";
import { walkChain } from "./walk-chain.ts";

/** A position that left the machine: a checkpoint, or the `agentkernel-chain-head` of a delivered batch. */
export type Anchor = { readonly chain: string; readonly seq: number; readonly hash: string };

export type ChainReport = {
  readonly chain: string;
  readonly verdict: "intact" | "tampered" | "truncated" | "crash_tail" | "unreadable";
  readonly kind?: TamperKind;
  /** first number that is wrong or gone */
  readonly seq?: number;
  readonly segment?: string;
  readonly detail?: string;
  /** bytes after the last whole line */
  readonly tail?: { readonly offset: number; readonly bytes: number };
  /** first number that is still held; earlier ones were removed by retention */
  readonly firstSeq: number;
  readonly last: Position;
  readonly events: number;
  readonly bytes: number;
  readonly checkpoints: number;
  readonly signatures: "checked" | "unchecked";
  /** a living process writes it */
  readonly isOpen: boolean;
  /** what a cut tail would be found against */
  readonly anchor: "external" | "checkpoint" | "none";
};

export type VerifyChainInput = {
  readonly dir: string;
  readonly chain: string;
  /** absent: signatures are not checked */
  readonly keys?: TrustedKeys;
  readonly anchors: readonly Anchor[];
  readonly isOpen: boolean;
  /** segments that end before this number are skipped */
  readonly fromSeq?: number;
};

export async function verifyChain(input: VerifyChainInput): Promise<ChainReport> {
  const { dir, chain, keys, isOpen } = input;
  const path = join(dir, chain);
  // the checkpoints first: what a living writer signs later is not expected of what is read now
  const checkpoints = await readCheckpoints(join(path, CHECKPOINTS), chain, keys);
  const all = await listSegments(dir, chain);
  const anchors = input.anchors.filter((anchor) => anchor.chain === chain);
  // statements of a file that cannot be trusted say nothing about the events
  const marks = mergeMarks(checkpoints.problem === undefined ? checkpoints.marks : [], anchors);
  let first = Math.max(
    0,
    all.findLastIndex((segment) => segment.firstSeq <= (input.fromSeq ?? 1)),
  );
  while (first > 0 && startOf(all[first]?.firstSeq ?? 1, [...checkpoints.tombstones, ...marks]) === undefined) first -= 1;
  const segments = all.slice(first);
  const firstSeq = segments[0]?.firstSeq ?? 1;
  // what was skipped on request may begin at any signed position; what is not there must have been removed by us
  const from = startOf(firstSeq, first > 0 ? [...checkpoints.tombstones, ...marks] : checkpoints.tombstones);
  const walked =
    from === undefined
      ? undefined
      : await walkChain({
          path,
          chain,
          segments,
          from,
          marks: marks.filter((mark) => mark.seq >= from.seq),
          abandoned: checkpoints.abandoned,
        });
  let finding: Finding | undefined =
    walked?.finding ??
    (from === undefined
      ? { verdict: "tampered", kind: "missing", seq: 1, detail: `the chain begins at event ${firstSeq}, and no signed tombstone says why` }
      : undefined);
  if (finding === undefined && checkpoints.stoppedAt !== undefined && walked !== undefined && walked.at.seq > checkpoints.stoppedAt) {
    finding = {
      verdict: "tampered",
      kind: "inserted",
      seq: checkpoints.stoppedAt + 1,
      detail: `the chain was finished with event ${checkpoints.stoppedAt}, and goes on`,
    };
  }
  // a living writer may be in the middle of a line, or of a repair
  if (isOpen && finding?.verdict === "crash_tail") finding = undefined;
  if (finding === undefined || finding.verdict === "crash_tail") {
    if (checkpoints.problem !== undefined)
      finding = { verdict: "tampered", kind: "bad_signature", seq: checkpoints.problem.seq, detail: checkpoints.problem.detail };
    else if (checkpoints.tornBytes > 0 && !isOpen)
      finding ??= {
        verdict: "crash_tail",
        seq: (walked?.at.seq ?? 0) + 1,
        detail: `${checkpoints.tornBytes} bytes of an unfinished checkpoint`,
      };
  }
  return {
    chain,
    verdict: finding?.verdict ?? "intact",
    ...(finding?.kind === undefined ? {} : { kind: finding.kind }),
    ...(finding === undefined ? {} : { seq: finding.seq, detail: finding.detail }),
    ...(finding?.segment === undefined ? {} : { segment: finding.segment }),
    ...(finding?.tail === undefined ? {} : { tail: finding.tail }),
    firstSeq,
    last: walked?.at ?? START,
    events: walked?.events ?? 0,
    bytes: walked?.bytes ?? 0,
    checkpoints: checkpoints.count,
    signatures: keys === undefined ? "unchecked" : "checked",
    isOpen,
    anchor: anchors.length > 0 ? "external" : marks.length > 0 ? "checkpoint" : "none",
  };
}

/** The position before `firstSeq`: the beginning, or what a tombstone or a checkpoint says. */
function startOf(firstSeq: number, known: readonly Position[]): Position | undefined {
  if (firstSeq === 1) return START;
  return known.find((position) => position.seq === firstSeq - 1);
}

/** Ascending; two different hashes for one number both stay, so that one of them is found to be wrong. */
function mergeMarks(marks: readonly Position[], anchors: readonly Anchor[]): readonly Position[] {
  if (anchors.length === 0) return marks;
  return [...marks, ...anchors.map(({ seq, hash }) => ({ seq, hash }))].sort((a, b) => a.seq - b.seq);
}
