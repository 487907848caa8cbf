import type { LlmEvent } from "../schema/event.ts";
import { FETCH_OPERATIONS, FREE_OPERATIONS } from "../schema/operation.ts";
import type { ProviderId } from "../schema/provider.ts";
import type { ModelNames } from "./model-names.ts";
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
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (sandbox_uuid, provider, model, day) DO UPDATE SET
    request_count = request_count + excluded.request_count,
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

/** What the calls of one sandbox to one model on one day add to its row. */
type Sum = {
  readonly key: readonly [uuid: string, provider: string, model: string, day: string, sandbox: string];
  requests: number;
  streaming: number;
  errors: number;
  unmetered: number;
  unpriced: number;
  priced: number;
  input: number;
  output: number;
  total: number;
  cacheReads: number;
  cacheWrites: number;
  reasoning: number;
  costNano: bigint;
  lastMs: number;
};

const NOTHING: Omit<Sum, "key"> = {
  requests: 0,
  streaming: 0,
  errors: 0,
  unmetered: 0,
  unpriced: 0,
  priced: 0,
  input: 0,
  output: 0,
  total: 0,
  cacheReads: 0,
  cacheWrites: 0,
  reasoning: 0,
  costNano: 0n,
  lastMs: 0,
};

/** Books calls within one transaction: each has its row at once, the sums are added in the end, a row for each instead of a call for each. */
export class LedgerBatch {
  readonly #sql: Sql;
  readonly #horizonMs: number;
  readonly #models: ModelNames;
  readonly #sums = new Map<string, Sum>();
  /** until when a sandbox's calls were cleared away, ms since 1970 */
  readonly #clearedUntil = new Map<string, number>();
  /** providers of which a response was fetched at all */
  readonly #hasFetches = new Map<string, boolean>();

  /** @param horizonMs whether a call from before was booked cannot be told any more, so it was */
  constructor(sql: Sql, horizonMs: number, models: ModelNames) {
    this.#sql = sql;
    this.#horizonMs = horizonMs;
    this.#models = models;
  }

  /** Whether the event was new. */
  book(event: LlmEvent): boolean {
    const at = Date.parse(event.timestamp);
    const uuid = event.sandbox_uuid ?? "";
    if (at < this.#horizonMs || at <= this.#clearedAt(uuid)) return false;
    const isMetered = event.input_tokens !== null || event.output_tokens !== null || event.total_tokens !== null;
    const counts = isMetered && !this.#isRepeat(event);
    // a denied call consumed nothing, and neither did one that is free, so nothing about them is unknown
    const isFree = event.call_outcome === "denied" || FREE_OPERATIONS.has(event.operation);
    const isUnmetered = !isMetered && !isFree;
    const isRepeat = isMetered && !counts;
    const costNano = event.cost_usd === null || isRepeat ? null : BigInt(Math.round(event.cost_usd * NANO));
    const isUnpriced = event.cost_usd === null && !isRepeat && (isMetered || !isFree);
    const isError = event.call_outcome !== "ok";
    const { provider } = event;
    const wasServed = event.status !== null && event.status < 300;
    const model = this.#models.nameFor(uuid, { provider, model: event.model, wasServed });
    const { input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens } = event;
    const inserted = this.#sql.run(
      INSERT_CALL,
      event.id,
      at,
      uuid,
      event.sandbox ?? "",
      provider,
      model,
      event.response_id ?? null,
      Number(counts),
      Number(event.streaming),
      Number(isError),
      Number(isUnmetered),
      Number(isUnpriced),
      input_tokens,
      output_tokens,
      total_tokens,
      cache_read_tokens,
      cache_write_tokens,
      reasoning_tokens,
      costNano,
      JSON.stringify(event),
    );
    if (inserted === 0) return false;
    if (counts && FETCH_OPERATIONS.has(event.operation)) this.#hasFetches.set(event.provider, true);
    const sum = this.#sumOf(event, uuid, model);
    sum.requests += 1;
    sum.streaming += Number(event.streaming);
    sum.errors += Number(isError);
    sum.unmetered += Number(isUnmetered);
    sum.unpriced += Number(isUnpriced);
    sum.priced += Number(costNano !== null);
    if (counts) {
      sum.input += input_tokens ?? 0;
      sum.output += output_tokens ?? 0;
      sum.total += total_tokens ?? 0;
      sum.cacheReads += cache_read_tokens ?? 0;
      sum.cacheWrites += cache_write_tokens ?? 0;
      sum.reasoning += reasoning_tokens ?? 0;
    }
    if (costNano !== null) sum.costNano += costNano;
    sum.lastMs = Math.max(sum.lastMs, at);
    return true;
  }

  /** Adds what was booked to the sums; the last thing in the transaction. */
  addSums(): void {
    for (const { key, ...sum } of this.#sums.values()) {
      const { requests, streaming, errors, unmetered, unpriced, priced } = sum;
      const { input, output, total, cacheReads, cacheWrites, reasoning, costNano, lastMs } = sum;
      const counts = [requests, streaming, errors, unmetered, unpriced, priced];
      this.#sql.run(ADD_USAGE, ...key, ...counts, input, output, total, cacheReads, cacheWrites, reasoning, costNano, lastMs);
    }
    this.#sums.clear();
  }

  #sumOf(event: LlmEvent, uuid: string, model: string): Sum {
    const day = event.timestamp.slice(0, 10);
    const id = `${uuid}\n${event.provider}\n${day}\n${model}`;
    let sum = this.#sums.get(id);
    if (sum === undefined) {
      const key = [uuid, event.provider, model, day, event.sandbox ?? ""] as const;
      sum = { key, ...NOTHING };
      this.#sums.set(id, sum);
    }
    return sum;
  }

  /**
   * A response whose tokens are counted already: a poll of one that is finished, a batch whose results are fetched again. Two ordinary
   * calls are never repeats of each other (some servers give every answer the same id); with one of them a fetch, they are. Fetches have
   * an index of their own: where every answer has the same id, the other one leads to every call there ever was.
   */
  #isRepeat(event: LlmEvent): boolean {
    if (event.response_id === undefined || event.response_id === "") return false;
    const isFetch = FETCH_OPERATIONS.has(event.operation);
    if (!isFetch && !this.#wasFetchedFrom(event.provider)) return false;
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

  /** Nearly always nothing was ever fetched, and then no single call has to be looked for. */
  #wasFetchedFrom(provider: string): boolean {
    let was = this.#hasFetches.get(provider);
    if (was === undefined) {
      const row = this.#sql.get(
        `SELECT 1 FROM llm_calls INDEXED BY llm_calls_fetched
          WHERE provider = ? AND counts_usage = 1 AND json_extract(event, '$.operation') IN (${FETCHES}) LIMIT 1`,
        provider,
      );
      was = row !== undefined;
      this.#hasFetches.set(provider, was);
    }
    return was;
  }

  #clearedAt(uuid: string): number {
    let at = this.#clearedUntil.get(uuid);
    if (at === undefined) {
      const row = this.#sql.get("SELECT at FROM llm_cleared WHERE sandbox_uuid = ?", uuid);
      at = row === undefined ? Number.NEGATIVE_INFINITY : integerOf(row, "at");
      this.#clearedUntil.set(uuid, at);
    }
    return at;
  }
}
