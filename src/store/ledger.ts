import type { LlmEvent } from "../schema/event.ts";
import { FETCH_OPERATIONS, FREE_OPERATIONS } from "../schema/operation.ts";
import type { ProviderId } from "../schema/provider.ts";
import { integerOf, type Sql } from "./sql.ts";

/** Their response ids are counters or small random numbers (Ollama: `chatcmpl-` and 0–998): equal ones of two sandboxes are not the same response. */
const WEAK_IDS: ReadonlySet<ProviderId> = new Set<ProviderId>(["ollama", "custom"]);

const NANO = 1e9;

const INSERT_CALL = `
  INSERT INTO llm_calls (event_id, at, sandbox_uuid, sandbox, provider, model, response_id, counts_usage, streaming, error, unmetered, unpriced,
    input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_nano, event)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (event_id) DO NOTHING`;

const ADD_USAGE = `
  INSERT INTO llm_usage (sandbox_uuid, provider, model, day, sandbox, request_count, streaming_count, error_count, unmetered_requests, unpriced_requests,
    priced_requests, total_input_tokens, total_output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_nano, last_request)
  VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (sandbox_uuid, provider, model, day) DO UPDATE SET
    request_count = request_count + 1,
    streaming_count = streaming_count + excluded.streaming_count,
    error_count = error_count + excluded.error_count,
    unmetered_requests = unmetered_requests + excluded.unmetered_requests,
    unpriced_requests = unpriced_requests + excluded.unpriced_requests,
    priced_requests = priced_requests + excluded.priced_requests,
    total_input_tokens = total_input_tokens + excluded.total_input_tokens,
    total_output_tokens = total_output_tokens + excluded.total_output_tokens,
    total_tokens = total_tokens + excluded.total_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
    cost_nano = cost_nano + excluded.cost_nano,
    last_request = max(last_request, excluded.last_request)`;

const FETCHES = [...FETCH_OPERATIONS].map((operation) => `'${operation}'`).join(", ");

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
        const horizon = this.#horizon();
        return events.filter((event) => this.#book(event, horizon)).length;
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

  /** Whether the event was new. */
  #book(event: LlmEvent, horizonMs: number): boolean {
    const at = Date.parse(event.timestamp);
    const uuid = event.sandbox_uuid ?? "";
    // whether it was booked before cannot be told any more, so it was
    if (at < horizonMs || this.#wasCleared(uuid, at)) return false;
    const isMetered = event.input_tokens !== null || event.output_tokens !== null || event.total_tokens !== null;
    const counts = isMetered && !this.#isRepeat(event);
    // a denied call consumed nothing, and neither did one that is free, so nothing about them is unknown
    const isFree = event.call_outcome === "denied" || FREE_OPERATIONS.has(event.operation);
    const isUnmetered = !isMetered && !isFree;
    const isRepeat = isMetered && !counts;
    const costNano = event.cost_usd === null || isRepeat ? null : BigInt(Math.round(event.cost_usd * NANO));
    const isUnpriced = event.cost_usd === null && !isRepeat && (isMetered || !isFree);
    const isError = event.call_outcome !== "ok";
    const inserted = this.#sql.run(
      INSERT_CALL,
      event.id,
      at,
      uuid,
      event.sandbox ?? "",
      event.provider,
      event.model,
      event.response_id ?? null,
      Number(counts),
      Number(event.streaming),
      Number(isError),
      Number(isUnmetered),
      Number(isUnpriced),
      event.input_tokens,
      event.output_tokens,
      event.total_tokens,
      event.cache_read_tokens,
      event.cache_write_tokens,
      event.reasoning_tokens,
      costNano,
      JSON.stringify(event),
    );
    if (inserted === 0) return false;
    const known = (tokens: number | null): number => (counts ? (tokens ?? 0) : 0);
    this.#sql.run(
      ADD_USAGE,
      uuid,
      event.provider,
      event.model,
      event.timestamp.slice(0, 10),
      event.sandbox ?? "",
      Number(event.streaming),
      Number(isError),
      Number(isUnmetered),
      Number(isUnpriced),
      Number(costNano !== null),
      known(event.input_tokens),
      known(event.output_tokens),
      known(event.total_tokens),
      known(event.cache_read_tokens),
      known(event.cache_write_tokens),
      known(event.reasoning_tokens),
      costNano ?? 0n,
      at,
    );
    return true;
  }

  /**
   * A response whose tokens are counted already: a poll of one that is finished, a batch whose results are fetched again. Two ordinary
   * calls are never repeats of each other (some servers give every answer the same id); with one of them a fetch, they are. Fetches have
   * an index of their own: where every answer has the same id, the other one leads to every call there ever was.
   */
  #isRepeat(event: LlmEvent): boolean {
    if (event.response_id === undefined || event.response_id === "") return false;
    const isFetch = FETCH_OPERATIONS.has(event.operation);
    const weak = WEAK_IDS.has(event.provider);
    const found = this.#sql.get(
      `SELECT 1 FROM llm_calls ${isFetch ? "" : "INDEXED BY llm_calls_fetched"} WHERE provider = ? AND response_id = ? AND counts_usage = 1 AND event_id <> ?
        ${isFetch ? "" : `AND json_extract(event, '$.operation') IN (${FETCHES})`} ${weak ? "AND sandbox_uuid = ?" : ""} LIMIT 1`,
      event.provider,
      event.response_id,
      event.id,
      ...(weak ? [event.sandbox_uuid ?? ""] : []),
    );
    return found !== undefined;
  }

  #wasCleared(uuid: string, at: number): boolean {
    return this.#sql.get("SELECT 1 FROM llm_cleared WHERE sandbox_uuid = ? AND at >= ?", uuid, at) !== undefined;
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
