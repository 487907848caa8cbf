import { timestamp } from "../base/clock.ts";
import type { UsageEntry } from "../schema/api.ts";
import type { LlmEvent } from "../schema/event.ts";
import { CALLS, LABELLED_CALLS, prunedBefore } from "./call-retention.ts";
import { integerOf, type Row, type Sql, textOf } from "./sql.ts";

export type UsageBy = "model" | "provider" | "sandbox" | "day" | "label";

/** `sandbox` is a name and means its newest uuid, with `all` every one it ever had. */
export type UsageFilter = { readonly sandbox?: string; readonly sinceMs?: number; readonly all?: boolean };

const SUMS = `
  sum(request_count) AS request_count, sum(streaming_count) AS streaming_count, sum(error_count) AS error_count,
  sum(unmetered_requests) AS unmetered_requests, sum(unpriced_requests) AS unpriced_requests, sum(priced_requests) AS priced_requests,
  sum(total_input_tokens) AS total_input_tokens, sum(total_output_tokens) AS total_output_tokens, sum(total_tokens) AS total_tokens,
  sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens, sum(reasoning_tokens) AS reasoning_tokens,
  sum(cost_nano) AS cost_nano, max(last_request) AS last_request`;

/** The same over whole days, where single calls of that time are forgotten. */
const DAYS = "(SELECT * FROM llm_usage WHERE day >= ?)";

/** Calls one by one, and the sums of those that are forgotten; both have the columns in one order. */
const LABELS = `${LABELLED_CALLS} WHERE at >= ? UNION ALL
  SELECT label, sandbox_uuid, sandbox, provider, model, day, last_request, request_count, streaming_count, error_count, unmetered_requests,
    unpriced_requests, priced_requests, cost_nano, total_input_tokens, total_output_tokens, total_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens
  FROM llm_label_usage WHERE day >= ?`;

/** later than every day */
const NO_DAY = "9999-99-99";

/** Questions about usage. Sums are of known values and always numbers; `cost_usd` is null when no call's price is known. */
export class UsageQueries {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Entries by sandbox name, keyed by provider and requested model; a name that is not known has an empty list. */
  bySandbox(filter: UsageFilter): Readonly<Record<string, readonly UsageEntry[]>> {
    const names = filter.sandbox === undefined ? this.#names() : [filter.sandbox];
    const result: Record<string, readonly UsageEntry[]> = {};
    for (const name of names) {
      const rows = this.#sums("provider, model", "provider, model", { ...filter, sandbox: name });
      if (rows.length > 0 || filter.sandbox !== undefined) result[name] = rows.map(entryOf);
    }
    return result;
  }

  /**
   * Sums over every sandbox of the filter, without one over all that was ever booked. Where several providers or models meet, the field
   * says `*`. A call counts under each of its labels.
   */
  grouped(filter: UsageFilter & { readonly by: UsageBy }): readonly (UsageEntry & { readonly key: string })[] {
    const only = (column: string): string => `iif(min(${column}) = max(${column}), min(${column}), '*') AS ${column}`;
    return this.#sums(`${filter.by} AS key, ${only("provider")}, ${only("model")}`, filter.by, filter).map((row) => ({
      key: textOf(row, "key"),
      ...entryOf(row),
    }));
  }

  /** The newest `limit` calls, oldest first. */
  events(filter: UsageFilter & { readonly limit?: number }): readonly LlmEvent[] {
    const { where, values } = this.#where(filter);
    const rows = this.#sql.all(
      `SELECT event FROM llm_calls ${where} ${where === "" ? "WHERE" : "AND"} at >= ? ORDER BY at DESC, event_id DESC LIMIT ?`,
      ...values,
      filter.sinceMs ?? 0,
      filter.limit ?? 1000,
    );
    return rows.map((row) => JSON.parse(textOf(row, "event")) as LlmEvent).reverse();
  }

  /** What a name stands for: its newest uuid, or all of them, newest first; empty when it is not known. */
  uuidsOf(name: string, options: { readonly all?: boolean } = {}): readonly string[] {
    // a sandbox may have usage without a row (imported), and a row without usage
    const rows = this.#sql.all(
      `SELECT uuid, max(at) AS at FROM (
         SELECT uuid, created_at AS at FROM sandboxes WHERE name = ?1
         UNION ALL
         SELECT sandbox_uuid, max(last_request) FROM llm_usage WHERE sandbox = ?1 AND sandbox_uuid NOT IN (SELECT uuid FROM sandboxes) GROUP BY sandbox_uuid
       ) GROUP BY uuid ORDER BY at DESC, uuid DESC`,
      name,
    );
    const uuids = rows.map((row) => textOf(row, "uuid"));
    return options.all === true ? uuids : uuids.slice(0, 1);
  }

  #names(): readonly string[] {
    return this.#sql.all("SELECT DISTINCT sandbox FROM llm_usage ORDER BY sandbox").map((row) => textOf(row, "sandbox"));
  }

  #sums(columns: string, group: string, filter: UsageFilter): readonly Row[] {
    const { where, values } = this.#where(filter);
    const tail = `${where} GROUP BY ${group} ORDER BY ${group}`;
    if (group === "label") {
      const since = filter.sinceMs ?? 0;
      // what is forgotten by call is known by day
      const day = since < prunedBefore(this.#sql) ? timestamp(since).slice(0, 10) : NO_DAY;
      return this.#sql.all(`SELECT ${columns}, ${SUMS} FROM (${LABELS}) ${tail}`, since, day, ...values);
    }
    if (filter.sinceMs === undefined) return this.#sql.all(`SELECT ${columns}, ${SUMS} FROM llm_usage ${tail}`, ...values);
    if (filter.sinceMs >= prunedBefore(this.#sql))
      return this.#sql.all(`SELECT ${columns}, ${SUMS} FROM (${CALLS} WHERE at >= ?) ${tail}`, filter.sinceMs, ...values);
    return this.#sql.all(`SELECT ${columns}, ${SUMS} FROM ${DAYS} ${tail}`, timestamp(filter.sinceMs).slice(0, 10), ...values);
  }

  #where(filter: UsageFilter): { readonly where: string; readonly values: readonly string[] } {
    if (filter.sandbox === undefined) return { where: "", values: [] };
    const values = this.uuidsOf(filter.sandbox, { all: filter.all ?? false });
    if (values.length === 0) return { where: "WHERE false", values: [] };
    return { where: `WHERE sandbox_uuid IN (${values.map(() => "?").join(", ")})`, values };
  }
}

function entryOf(row: Row): UsageEntry {
  return {
    provider: textOf(row, "provider"),
    model: textOf(row, "model"),
    request_count: integerOf(row, "request_count"),
    streaming_count: integerOf(row, "streaming_count"),
    error_count: integerOf(row, "error_count"),
    unmetered_requests: integerOf(row, "unmetered_requests"),
    total_input_tokens: integerOf(row, "total_input_tokens"),
    total_output_tokens: integerOf(row, "total_output_tokens"),
    total_tokens: integerOf(row, "total_tokens"),
    cache_read_tokens: integerOf(row, "cache_read_tokens"),
    cache_write_tokens: integerOf(row, "cache_write_tokens"),
    reasoning_tokens: integerOf(row, "reasoning_tokens"),
    cost_usd: integerOf(row, "priced_requests") === 0 ? null : integerOf(row, "cost_nano") / 1e9,
    unpriced_requests: integerOf(row, "unpriced_requests"),
    last_request: timestamp(integerOf(row, "last_request")),
  };
}
