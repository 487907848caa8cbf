import { errnoOf } from "../base/error.ts";
import type { Position } from "./chain.ts";
import {
  FIRST_CHECKPOINT,
  hashCheckpointLine,
  isSignatureGood,
  parseCheckpoint,
  type SignedCheckpoint,
  type TrustedKeys,
} from "./checkpoint.ts";
import type { CheckpointTail } from "./checkpoint-file.ts";
import { forEachLine, ZEROS } from "./lines.ts";

/** What a chain's checkpoint file says. */
export type Checkpoints = {
  /** positions that were signed, ascending, each number once */
  readonly marks: readonly Position[];
  /** segment name to the number of bytes of it that count */
  readonly abandoned: ReadonlyMap<string, number>;
  /** last lines of removed segments */
  readonly tombstones: readonly Position[];
  readonly count: number;
  readonly last: SignedCheckpoint | undefined;
  /** the number of the chain's last event, when its end was signed */
  readonly stoppedAt: number | undefined;
  /** where whole lines end */
  readonly tail: CheckpointTail;
  /** bytes after them, left by a crash */
  readonly tornBytes: number;
  /** why the file cannot be trusted */
  readonly problem: { readonly seq: number; readonly detail: string } | undefined;
};

/**
 * Each line carries the hash of the one before, so the last signature of a key vouches for all of them and only that is checked.
 * @param keys absent: signatures are not checked
 */
export async function readCheckpoints(path: string, chain: string, keys: TrustedKeys | undefined): Promise<Checkpoints> {
  const marks: Position[] = [];
  const abandoned = new Map<string, number>();
  const tombstones: Position[] = [];
  let tail: CheckpointTail = { bytes: 0, prev: FIRST_CHECKPOINT };
  let last: { readonly checkpoint: SignedCheckpoint; readonly line: string } | undefined;
  let stoppedAt: number | undefined;
  let count = 0;
  let problem: Checkpoints["problem"];
  const check = (): void => {
    if (keys !== undefined && last !== undefined && !isSignatureGood(last.line, keys)) {
      problem ??= {
        seq: last.checkpoint.seq,
        detail: keys.has(last.checkpoint.keyId)
          ? "the checkpoint's signature does not fit"
          : `the checkpoint is signed by ${last.checkpoint.keyId}, which is not a trusted key (an earlier one is named with --key)`,
      };
    }
  };
  const seen = (text: string, bytes: number): boolean => {
    const checkpoint = parseCheckpoint(text);
    const highest = marks.at(-1)?.seq ?? 0;
    if (
      checkpoint === undefined ||
      checkpoint.chain !== chain ||
      checkpoint.prevCheckpoint !== tail.prev ||
      (checkpoint.kind !== "tombstone" && checkpoint.seq < highest)
    ) {
      problem = {
        seq: highest + 1,
        detail: `line ${count + 1} of the checkpoints is ${checkpoint === undefined ? "not a checkpoint" : "not the one that follows the line before"}`,
      };
      return false;
    }
    if (last !== undefined && last.checkpoint.keyId !== checkpoint.keyId) check();
    last = { checkpoint, line: text };
    const position = { seq: checkpoint.seq, hash: checkpoint.hash };
    if (checkpoint.kind === "tombstone") tombstones.push(position);
    else if (position.seq > highest) marks.push(position);
    if (checkpoint.kind === "stop") stoppedAt = checkpoint.seq;
    if (checkpoint.kind === "abandon") abandoned.set(checkpoint.segment, checkpoint.bytes);
    count += 1;
    tail = { bytes: tail.bytes + bytes + 1, prev: hashCheckpointLine(text) };
    return true;
  };
  // what stands after the last good line: only a power cut leaves sectors of zeros, and nothing good after them
  const rest = { bytes: 0, hasZeros: false, hasGood: false };
  try {
    await forEachLine(path, {}, (bytes, start, end, { isWhole }) => {
      const text = bytes.toString("latin1", start, end);
      if (isWhole && problem === undefined && seen(text, end - start)) return true;
      rest.bytes += end - start + (isWhole ? 1 : 0);
      rest.hasZeros ||= bytes.subarray(start, end).includes(ZEROS);
      rest.hasGood ||= isWhole && parseCheckpoint(text) !== undefined;
      // a crash leaves a prefix of a line; a whole one and one byte more is a changed newline
      if (!isWhole && parseCheckpoint(text.slice(0, -1)) !== undefined)
        problem ??= { seq: (marks.at(-1)?.seq ?? 0) + 1, detail: "the end of the last checkpoint was changed" };
      return true;
    });
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  if (rest.hasZeros && !rest.hasGood) problem = undefined;
  const tornBytes = problem === undefined ? rest.bytes : 0;
  check();
  return { marks, abandoned, tombstones, count, last: last?.checkpoint, stoppedAt, tail, tornBytes, problem };
}
