import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { parseLine } from "../chain.ts";
import { listSegments } from "../layout.ts";
import { forEachLine } from "../lines.ts";
import type { LogRecord, ReadCursor } from "../read-forward.ts";

export type ReadLimits = {
  /** records that are returned */
  readonly records: number;
  /** bytes of events that are returned; one event may exceed it */
  readonly bytes: number;
  /** records that are looked at */
  readonly scanned: number;
  /** absent: every record is wanted */
  readonly wanted?: (json: string) => boolean;
};

export type ReadRecords = {
  readonly records: readonly LogRecord[];
  /** behind the last record that was looked at */
  readonly cursor: ReadCursor;
  /** numbers between the cursor and what there was: removed before they were read */
  readonly missing: number;
};

/** The next records of a chain behind a cursor, in order and a bounded number of them. */
export async function readRecords(dir: string, chain: string, cursor: ReadCursor, limits: ReadLimits): Promise<ReadRecords> {
  const records: LogRecord[] = [];
  let at = cursor;
  let missing = 0;
  let scanned = 0;
  let bytesRead = 0;
  const isFull = (): boolean => records.length >= limits.records || scanned >= limits.scanned || bytesRead >= limits.bytes;
  const segments = await listSegments(dir, chain);
  const first = Math.max(
    0,
    segments.findLastIndex((segment) => segment.firstSeq <= cursor.seq + 1),
  );
  for (const { name } of segments.slice(first)) {
    if (isFull()) break;
    const from = name === at.segment ? (at.offset ?? 0) : 0;
    try {
      await forEachLine(join(dir, chain, name), { from, isShort: true }, (bytes, start, end, { offset, isWhole }) => {
        const line = isWhole ? parseLine(bytes, start, end) : undefined;
        if (line === undefined) return isWhole;
        // a repeated line of a segment that was given up has a number that was seen
        if (line.seq <= at.seq) return true;
        missing += line.seq - at.seq - 1;
        at = { seq: line.seq, segment: name, offset: offset + end - start + 1 };
        scanned += 1;
        const json = bytes.toString("utf8", line.eventStart, line.eventEnd);
        if (limits.wanted?.(json) ?? true) {
          records.push({ chain, seq: line.seq, hash: line.hash, json });
          bytesRead += json.length;
        }
        return !isFull();
      });
    } catch (error) {
      // retention was faster
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return { records, cursor: at, missing };
}
