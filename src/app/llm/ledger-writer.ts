import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { LlmEvent } from "../../schema/event.ts";

/** Where model calls are booked; idempotent by event id. */
export type Ledger = { recordAll(events: readonly LlmEvent[]): void };

/** ms that a call may wait to be booked together with others; what a crash cuts off is booked from the event log at the next start */
const BATCH_MS = 100;
const BATCH_EVENTS = 256;

/** Books model calls in small batches, since one transaction each would hold the event loop under load. */
export class LedgerWriter implements Disposable {
  readonly #ledger: Ledger;
  readonly #log: Log;
  #batch: LlmEvent[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(ledger: Ledger, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  add(event: LlmEvent): void {
    this.#batch.push(event);
    if (this.#batch.length >= BATCH_EVENTS) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  /** Books everything added so far. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    try {
      this.#ledger.recordAll(batch);
    } catch (error) {
      // the events themselves are in the log; the next start books them from there
      this.#log.error("model calls could not be booked; they will be from the event log", { calls: batch.length, error: messageOf(error) });
    }
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}
