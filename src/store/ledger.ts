import type { LlmEvent } from "../schema/event.ts";
import { pruneBatch, prunedBefore } from "./call-retention.ts";
import { LedgerBatch } from "./ledger-batch.ts";
import { ModelNames } from "./model-names.ts";
import { integerOf, type Sql } from "./sql.ts";

/** few enough to hold up no call for long */
const PRUNED_AT_ONCE = 1_000;

/**
 * Model calls and their sums. A call is booked once per event id, and the tokens of a response that can be fetched again once per
 * response: after a crash everything can be booked again from the event log. A power cut may take the last bookings, and the log brings them back.
 */
export class Ledger {
  readonly #sql: Sql;
  readonly #models: ModelNames;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#models = new ModelNames(sql);
  }

  record(event: LlmEvent): void {
    this.recordAll([event]);
  }

  /** In one transaction. Returns how many were new. */
  recordAll(events: readonly LlmEvent[]): number {
    if (events.length === 0) return 0;
    try {
      return this.#sql.transaction(
        () => {
          const batch = new LedgerBatch(this.#sql, prunedBefore(this.#sql), this.#models);
          const added = events.filter((event) => batch.book(event)).length;
          batch.addSums();
          return added;
        },
        { isDurable: false },
      );
    } catch (error) {
      // names were given places by rows that are not there
      this.#models.forget();
      throw error;
    }
  }

  /** Time of the newest call that is booked, ms since 1970; from somewhat before it the event log can be booked again. */
  newestMs(): number | undefined {
    const row = this.#sql.get("SELECT max(at) AS at FROM llm_calls");
    return row === undefined || row["at"] === null ? undefined : integerOf(row, "at");
  }

  /** Takes all calls and sums of these sandboxes away; what is booked again later from before `nowMs` stays away. */
  clear(uuids: readonly string[], nowMs: number): void {
    this.#sql.transaction(
      () => {
        for (const uuid of uuids) {
          this.#sql.run("DELETE FROM llm_calls WHERE sandbox_uuid = ?", uuid);
          this.#sql.run("DELETE FROM llm_usage WHERE sandbox_uuid = ?", uuid);
          this.#sql.run("DELETE FROM llm_label_usage WHERE sandbox_uuid = ?", uuid);
          this.#sql.run(
            "INSERT INTO llm_cleared (sandbox_uuid, at) VALUES (?, ?) ON CONFLICT (sandbox_uuid) DO UPDATE SET at = excluded.at",
            uuid,
            nowMs,
          );
        }
      },
      { isDurable: true },
    );
    this.#models.forget();
  }

  /** Forgets the oldest single calls before this time; their sums per day and label stay. Returns how many, 0 when there are none left. */
  pruneCalls(beforeMs: number, limit = PRUNED_AT_ONCE): number {
    return pruneBatch(this.#sql, beforeMs, limit);
  }
}
