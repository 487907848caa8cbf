import { join } from "node:path";
import { isSelfConsistent, parseLine, type Position } from "./chain.ts";
import type { SegmentName } from "./layout.ts";
import { forEachLine, ZEROS } from "./lines.ts";

export type TamperKind = "altered" | "missing" | "reordered" | "inserted" | "bad_signature";

export type Finding = {
  readonly verdict: "tampered" | "truncated" | "crash_tail";
  readonly kind?: TamperKind;
  /** first number that is wrong or gone */
  readonly seq: number;
  readonly segment?: string;
  /** where the bad bytes begin, and how many there are to the end of the file; for a crash tail */
  readonly tail?: { readonly offset: number; readonly bytes: number };
  readonly detail: string;
};

export type Broken = { readonly offset: number; readonly bytes: Buffer; readonly isWhole: boolean };

export type DiagnoseInput = {
  readonly path: string;
  readonly chain: string;
  /** the last good line */
  readonly at: Position;
  readonly broken: Broken;
  readonly segment: SegmentName;
  readonly later: readonly SegmentName[];
  /** highest signed number; a tail below it was once on disk whole */
  readonly lastMark: number;
};

type Rest = { hasExpected: boolean; hasSameSeq: boolean; hasGood: boolean; hasWhole: boolean; hasZeros: boolean; bytes: number };

/** Names what is wrong with the line after `at`. */
export async function diagnose(input: DiagnoseInput): Promise<Finding> {
  const { at, broken, chain, segment, lastMark } = input;
  const expected = at.seq + 1;
  const line = parseLine(broken.bytes, 0, broken.bytes.length);
  const isGood = broken.isWhole && line !== undefined && line.chain === chain && isSelfConsistent(broken.bytes, line);
  const rest = await lookAhead(input, isGood ? line.seq : undefined);
  const found = (kind: TamperKind, seq: number, detail: string): Finding => ({
    verdict: "tampered",
    kind,
    seq,
    segment: segment.name,
    detail,
  });
  if (isGood) {
    if (line.seq < expected) return found("inserted", expected, `a second event ${line.seq} stands after event ${at.seq}`);
    if (rest.hasExpected && (rest.hasSameSeq || line.seq === expected))
      return found("inserted", expected, `an extra event ${line.seq} stands after event ${at.seq}`);
    if (line.seq === expected) return found("altered", Math.max(at.seq, 1), `event ${expected} continues a different event ${at.seq}`);
    if (rest.hasExpected) return found("reordered", expected, `event ${line.seq} stands before event ${expected}`);
    return found(
      "missing",
      expected,
      line.seq - 1 === expected ? `event ${expected} is gone` : `events ${expected} to ${line.seq - 1} are gone`,
    );
  }
  if (input.later.length === 0 && !rest.hasGood && isCrashLike(broken, rest, chain)) {
    const tail = { offset: broken.offset, bytes: rest.bytes };
    if (lastMark < expected)
      return {
        verdict: "crash_tail",
        seq: expected,
        segment: segment.name,
        tail,
        detail: `${tail.bytes} bytes of an unfinished write stand after event ${at.seq}`,
      };
    return {
      verdict: "truncated",
      kind: "missing",
      seq: expected,
      segment: segment.name,
      tail,
      detail: `the log ends within event ${expected}, but event ${lastMark} was signed as written`,
    };
  }
  if (rest.hasExpected) return found("inserted", expected, `something that is no event stands before event ${expected}`);
  return found("altered", expected, `event ${expected} was changed`);
}

function isCrashLike(broken: Broken, rest: Rest, chain: string): boolean {
  if (rest.hasZeros) return true;
  if (rest.hasWhole) return false;
  // of a file that grew before its last byte was on the disk that byte is zero, also where it was to be the newline
  if (broken.bytes.at(-1) === 0) return true;
  // a whole line and one byte more is a changed newline: no write of ours ends so
  const shorter = parseLine(broken.bytes, 0, broken.bytes.length - 1);
  return !(shorter !== undefined && shorter.chain === chain && isSelfConsistent(broken.bytes.subarray(0, -1), shorter));
}

/** What comes from the broken line on, to the end of the chain. */
async function lookAhead(input: DiagnoseInput, sameSeq: number | undefined): Promise<Rest> {
  const { path, chain, at, broken, segment, later } = input;
  const rest: Rest = { hasExpected: false, hasSameSeq: false, hasGood: false, hasWhole: false, hasZeros: false, bytes: 0 };
  for (const { name } of [segment, ...later]) {
    const from = name === segment.name ? broken.offset : 0;
    await forEachLine(join(path, name), { from }, (bytes, start, end, { offset, isWhole }) => {
      rest.bytes += end - start + (isWhole ? 1 : 0);
      if (isWhole) rest.hasWhole = true;
      if (bytes.subarray(start, end).includes(ZEROS)) rest.hasZeros = true;
      const line = isWhole && (name !== segment.name || offset !== broken.offset) ? parseLine(bytes, start, end) : undefined;
      if (line === undefined || line.chain !== chain || !isSelfConsistent(bytes, line)) return true;
      rest.hasGood = true;
      if (line.seq === at.seq + 1 && line.prev === at.hash) rest.hasExpected = true;
      if (line.seq === sameSeq) rest.hasSameSeq = true;
      return true;
    });
  }
  return rest;
}

/** Whether the line with this number and hash stands anywhere in the segments. */
export async function holdsLine(input: {
  readonly path: string;
  readonly chain: string;
  readonly segments: readonly SegmentName[];
  readonly position: Position;
}): Promise<boolean> {
  let found = false;
  for (const { name } of input.segments) {
    await forEachLine(join(input.path, name), {}, (bytes, start, end, { isWhole }) => {
      const line = isWhole ? parseLine(bytes, start, end) : undefined;
      found =
        line !== undefined &&
        line.chain === input.chain &&
        line.seq === input.position.seq &&
        line.hash === input.position.hash &&
        isSelfConsistent(bytes, line);
      return !found;
    });
    if (found) break;
  }
  return found;
}
