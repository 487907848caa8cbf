import { stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import type { Event, EventType } from "../schema/event.ts";
import { parseLine } from "./chain.ts";
import { listChains, listSegments } from "./layout.ts";
import { forEachLine } from "./lines.ts";
import { parseEvent } from "./read-backward.ts";

/** A line of a chain for whoever delivers it. `json` is the event as it was hashed. */
export type LogRecord = { readonly chain: string; readonly seq: number; readonly hash: string; readonly json: string };

/** Where a reader of one chain stands. `segment` and `offset` only save the search for `seq`. */
export type ReadCursor = { readonly seq: number; readonly segment?: string; readonly offset?: number };

const BATCH = 256;

/**
 * The next records after the cursor, in order, at most `limit`, and the cursor behind them. Empty at the end of the chain for now.
 * What is read is written, and not yet certain to be on disk.
 */
export async function readBatch(
  dir: string,
  chain: string,
  cursor: ReadCursor,
  limit: number,
): Promise<{ readonly records: readonly LogRecord[]; readonly cursor: ReadCursor }> {
  const records: LogRecord[] = [];
  let at = cursor;
  const segments = await listSegments(dir, chain);
  const first = Math.max(
    0,
    segments.findLastIndex((segment) => segment.firstSeq <= cursor.seq + 1),
  );
  for (const { name } of segments.slice(first)) {
    if (records.length >= limit) break;
    const from = name === at.segment ? (at.offset ?? 0) : 0;
    try {
      await forEachLine(join(dir, chain, name), { from }, (bytes, start, end, { offset, isWhole }) => {
        const line = isWhole ? parseLine(bytes, start, end) : undefined;
        if (line === undefined) return isWhole;
        // a repeated line of a segment that was given up has a number that was seen
        if (line.seq > at.seq) {
          records.push({ chain, seq: line.seq, hash: line.hash, json: bytes.toString("utf8", line.eventStart, line.eventEnd) });
          at = { seq: line.seq, segment: name, offset: offset + end - start + 1 };
        }
        return records.length < limit;
      });
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return { records, cursor: at };
}

type ReplayQuery = { readonly dir: string; readonly sinceMs: number; readonly types?: readonly EventType[] };

/** An event with its place in the log. */
export type PlacedEvent = { readonly event: Event; readonly chain: string; readonly seq: number };

/** All events written since a time, chain by chain, in order within a chain: for what is built from the log again. */
export async function* replayEvents(query: ReplayQuery): AsyncGenerator<Event> {
  for await (const { event } of replayPlaced(query)) yield event;
}

export async function* replayPlaced(query: ReplayQuery): AsyncGenerator<PlacedEvent> {
  const types = query.types === undefined ? undefined : new Set<string>(query.types);
  for (const chain of await listChains(query.dir)) {
    const start = await firstSince(query.dir, chain, query.sinceMs);
    if (start === undefined) continue;
    let cursor: ReadCursor = { seq: start - 1 };
    for (;;) {
      const { records, cursor: next } = await readBatch(query.dir, chain, cursor, BATCH);
      if (records.length === 0) break;
      cursor = next;
      for (const { json, seq } of records) {
        const event = parseEvent(json);
        if (event !== undefined && (types === undefined || types.has(event.type)) && Date.parse(event.timestamp) >= query.sinceMs)
          yield { event, chain, seq };
      }
    }
  }
}

/** First number of the first segment that was written to since. */
async function firstSince(dir: string, chain: string, sinceMs: number): Promise<number | undefined> {
  for (const { name, firstSeq } of await listSegments(dir, chain)) {
    try {
      if ((await stat(join(dir, chain, name))).mtimeMs >= sinceMs) return firstSeq;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return undefined;
}
