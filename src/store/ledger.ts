import type { LlmEvent } from "../schema/event.ts";
import { LedgerBatch } from "./ledger-batch.ts";
import { integerOf, type Sql } from "./sql.ts";

/**
 * Model calls and their sums. A call is booked once per event id, and the tokens of a response that can be fetched again once per
 * response: after a crash everything can be booked again from the event log. A power cut may take the last bookings, and the log brings them back.
 */
export class Ledger {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  record(event: LlmEvent): void {
    this.recordAll([event]);
  }

  /** In one transaction. Returns how many were new. */
  recordAll(events: readonly LlmEvent[]): number {
    if (events.length === 0) return 0;
    return this.#sql.transaction(
      () => {
        const batch = new LedgerBatch(this.#sql, this.#horizon());
        const added = events.filter((event) => batch.book(event)).length;
        batch.addSums();
        return added;
      },
      { isDurable: false },
    );
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
          this.#sql.run(
            "INSERT INTO llm_cleared (sandbox_uuid, at) VALUES (?, ?) ON CONFLICT (sandbox_uuid) DO UPDATE SET at = excluded.at",
            uuid,
            nowMs,
          );
        }
      },
      { isDurable: true },
    );
  }

  /** Forgets single calls older than this; their sums per day stay. Returns how many. */
  pruneCalls(beforeMs: number): number {
    return this.#sql.transaction(
      () => {
        const horizon = Math.max(this.#horizon(), beforeMs);
        this.#sql.run(
          "INSERT INTO meta (key, value) VALUES ('ledger_pruned_before', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
          String(horizon),
        );
        return this.#sql.run("DELETE FROM llm_calls WHERE at < ?", horizon);
      },
      { isDurable: false },
    );
  }

  #horizon(): number {
    return prunedBefore(this.#sql);
  }
}

/** Calls older than this, ms since 1970, are only in the sums. */
export function prunedBefore(sql: Sql): number {
  const row = sql.get("SELECT CAST(value AS INTEGER) AS at FROM meta WHERE key = 'ledger_pruned_before'");
  return row === undefined ? 0 : integerOf(row, "at");
}
