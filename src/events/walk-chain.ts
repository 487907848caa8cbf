import { join } from "node:path";
import { type Position, stepOver } from "./chain.ts";
import { type Broken, diagnose, type Finding, holdsLine } from "./diagnose.ts";
import type { SegmentName } from "./layout.ts";
import { forEachLine } from "./lines.ts";

export type WalkInput = {
  /** the chain's own directory */
  readonly path: string;
  readonly chain: string;
  readonly segments: readonly SegmentName[];
  /** the position before the first segment's first line */
  readonly from: Position;
  /** signed positions, ascending */
  readonly marks: readonly Position[];
  /** bytes that count of segments that were given up */
  readonly abandoned: ReadonlyMap<string, number>;
};

export type Walked = {
  /** the last line in order */
  readonly at: Position;
  readonly events: number;
  /** bytes of whole, good lines */
  readonly bytes: number;
  readonly finding: Finding | undefined;
};

/** Follows a chain line by line over the raw bytes, up to the first thing that does not fit. */
export async function walkChain(input: WalkInput): Promise<Walked> {
  const { path, chain, segments, marks, abandoned } = input;
  let at = input.from;
  let events = 0;
  let bytesSeen = 0;
  let nextMark = 0;
  let finding: Finding | undefined;
  let denied: Position | undefined;
  const passMarks = (): void => {
    for (let mark = marks[nextMark]; mark !== undefined && mark.seq <= at.seq && denied === undefined; mark = marks[nextMark]) {
      if (mark.seq === at.seq && mark.hash !== at.hash) denied = mark;
      else nextMark += 1;
    }
  };
  passMarks();
  for (const [index, segment] of segments.entries()) {
    if (segment.firstSeq !== at.seq + 1) {
      const isMissing = segment.firstSeq > at.seq + 1;
      finding = {
        verdict: "tampered",
        kind: isMissing ? "missing" : "inserted",
        seq: Math.min(at.seq + 1, segment.firstSeq),
        segment: segment.name,
        detail: isMissing
          ? `events ${at.seq + 1} to ${segment.firstSeq - 1} are gone`
          : `the segment repeats events from ${segment.firstSeq}`,
      };
      break;
    }
    const limit = abandoned.get(segment.name);
    const broken: Broken[] = [];
    await forEachLine(join(path, segment.name), limit === undefined ? {} : { to: limit }, (bytes, start, end, { offset, isWhole }) => {
      const next = isWhole ? stepOver(bytes, start, end, chain, at) : undefined;
      if (next === undefined) {
        broken.push({ offset, bytes: Buffer.from(bytes.subarray(start, end)), isWhole });
        return false;
      }
      at = next;
      events += 1;
      bytesSeen += end - start + 1;
      if ((marks[nextMark]?.seq ?? Number.POSITIVE_INFINITY) <= at.seq) passMarks();
      return denied === undefined;
    });
    if (denied !== undefined)
      finding = await explainDenied(input, segments.slice(index), denied, marks[nextMark - 1]?.seq ?? input.from.seq);
    const [line] = broken;
    if (line !== undefined)
      finding = await diagnose({
        path,
        chain,
        at,
        broken: line,
        segment,
        later: segments.slice(index + 1),
        lastMark: marks.at(-1)?.seq ?? 0,
      });
    if (finding !== undefined) break;
  }
  if (denied !== undefined && segments.length === 0)
    finding = { verdict: "tampered", kind: "altered", seq: denied.seq, detail: "the removed events do not end as they were signed" };
  const lastMark = marks.at(-1);
  if (finding === undefined && lastMark !== undefined && lastMark.seq > at.seq) {
    finding = {
      verdict: "truncated",
      kind: "missing",
      seq: at.seq + 1,
      detail: `the log ends at event ${at.seq}, but event ${lastMark.seq} was signed as written`,
    };
  }
  return { at, events, bytes: bytesSeen, finding };
}

/** An event fits the one before it, but another one was signed under its number. */
async function explainDenied({ path, chain }: WalkInput, rest: readonly SegmentName[], mark: Position, lastGood: number): Promise<Finding> {
  if (await holdsLine({ path, chain, segments: rest, position: mark })) {
    return {
      verdict: "tampered",
      kind: "inserted",
      seq: mark.seq,
      detail: `an extra event ${mark.seq} stands before the one that was signed`,
    };
  }
  return {
    verdict: "tampered",
    kind: "altered",
    seq: lastGood + 1,
    detail: `event ${mark.seq} is not the one that was signed; the chain was written anew somewhere from event ${lastGood + 1} on`,
  };
}
