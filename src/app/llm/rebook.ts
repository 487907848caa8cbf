import { readEvents } from "../../events/tail.ts";
import type { SandboxRecord } from "../../sandbox/record.ts";
import type { LlmEvent } from "../../schema/event.ts";
import type { Store } from "../../store/open-store.ts";

/** ms before the newest booked call in which an unbooked one may lie: processes book side by side */
const OVERLAP_MS = 10 * 60_000;
const BATCH = 500;

/** Books model calls that are in the event log and not in the ledger, since their process was killed in between. Idempotent. */
export async function rebookCalls(store: Store<SandboxRecord>, eventsDir: string): Promise<number> {
  const newest = store.ledger.newestMs();
  let booked = 0;
  let batch: LlmEvent[] = [];
  for await (const event of readEvents({ dir: eventsDir, sinceMs: newest === undefined ? 0 : newest - OVERLAP_MS, types: ["llm.call"] })) {
    if (event.type === "llm.call") batch.push(event);
    if (batch.length < BATCH) continue;
    booked += store.ledger.recordAll(batch);
    batch = [];
  }
  return booked + store.ledger.recordAll(batch);
}
