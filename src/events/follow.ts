import { setTimeout as delay } from "node:timers/promises";
import type { Event } from "../schema/event.ts";
import { ChainIndex } from "./delivery/chain-index.ts";
import { readRecords } from "./delivery/read-records.ts";
import { parseEvent } from "./read-backward.ts";
import type { ReadCursor } from "./read-forward.ts";

const POLL_MS = 250;
const BATCH = { records: 100, bytes: 1 << 20, scanned: 100 };

/** Events of all processes as they are written, from the moment this resolves; in order per chain. Ends with the signal. */
export async function followEvents(dir: string, signal: AbortSignal, pollMs = POLL_MS): Promise<AsyncGenerator<Event>> {
  const index = new ChainIndex(dir);
  const cursors = new Map<string, ReadCursor>();
  await index.refresh(() => true);
  for (const { chain, headSeq } of index.all()) cursors.set(chain, { seq: headSeq });
  return follow(dir, index, cursors, signal, pollMs);
}

async function* follow(
  dir: string,
  index: ChainIndex,
  cursors: Map<string, ReadCursor>,
  signal: AbortSignal,
  pollMs: number,
): AsyncGenerator<Event> {
  while (!signal.aborted) {
    for (const { chain, headSeq } of [...index.all()]) {
      let cursor = cursors.get(chain) ?? { seq: 0 };
      while (headSeq > cursor.seq) {
        const read = await readRecords(dir, chain, cursor, BATCH);
        if (read.cursor.seq === cursor.seq) break;
        cursor = read.cursor;
        cursors.set(chain, cursor);
        for (const { json } of read.records) {
          const event = parseEvent(json);
          if (event !== undefined) yield event;
        }
      }
    }
    await delay(pollMs, undefined, { signal }).catch(() => "ended: seen by the loop");
    await index.refresh(() => true);
  }
}
