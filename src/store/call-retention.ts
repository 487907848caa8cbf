import { integerOf, type Sql } from "./sql.ts";

/** What of a call is added up, in the columns of the sums. */
const OF_A_CALL = `
  1 AS request_count, streaming AS streaming_count, error AS error_count, unmetered AS unmetered_requests, unpriced AS unpriced_requests,
  cost_nano IS NOT NULL AS priced_requests, coalesce(cost_nano, 0) AS cost_nano,
  iif(counts_usage, coalesce(input_tokens, 0), 0) AS total_input_tokens, iif(counts_usage, coalesce(output_tokens, 0), 0) AS total_output_tokens,
  iif(counts_usage, coalesce(total_tokens, 0), 0) AS total_tokens, iif(counts_usage, coalesce(cache_read_tokens, 0), 0) AS cache_read_tokens,
  iif(counts_usage, coalesce(cache_write_tokens, 0), 0) AS cache_write_tokens, iif(counts_usage, coalesce(reasoning_tokens, 0), 0) AS reasoning_tokens`;

/** Single calls in the shape of the sums, from `at >= ?` on; `label` is one of a call's labels where `from` joins them. */
const callsFrom = (from: string, label: string): string => `
  SELECT ${label} AS label, sandbox_uuid, sandbox, provider, model, strftime('%Y-%m-%d', at / 1000, 'unixepoch') AS day, at AS last_request, ${OF_A_CALL}
  FROM ${from}`;

export const CALLS = callsFrom("llm_calls", "''");

/** A call with several labels stands in several rows, one without any in none. */
export const LABELLED_CALLS = callsFrom("llm_calls, json_each(llm_calls.event, '$.labels') AS labels", "labels.key || '=' || labels.value");

const COUNTS = [
  ...["request_count", "streaming_count", "error_count", "unmetered_requests", "unpriced_requests", "priced_requests"],
  ...[
    "total_input_tokens",
    "total_output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano",
  ],
];

/** What is about to be forgotten, added to the sums by label; those by day have had it since it was booked. */
const KEEP_LABELS = `
  INSERT INTO llm_label_usage (label, sandbox_uuid, provider, model, day, sandbox, ${COUNTS.join(", ")}, last_request)
  SELECT label, sandbox_uuid, provider, model, day, max(sandbox), ${COUNTS.map((name) => `sum(${name})`).join(", ")}, max(last_request)
  FROM (${LABELLED_CALLS} WHERE at < ?) GROUP BY label, sandbox_uuid, provider, model, day
  ON CONFLICT (label, sandbox_uuid, provider, model, day) DO UPDATE SET
    ${COUNTS.map((name) => `${name} = ${name} + excluded.${name}`).join(", ")}, last_request = max(last_request, excluded.last_request)`;

/**
 * Forgets the oldest of the calls before a time, in one transaction. Returns how many; 0: there are none left.
 * @param limit so many at once, or a few more of the same millisecond
 */
export function pruneBatch(sql: Sql, beforeMs: number, limit: number): number {
  return sql.transaction(
    () => {
      const last =
        sql.get("SELECT at FROM llm_calls WHERE at < ? ORDER BY at LIMIT 1 OFFSET ?", beforeMs, limit) ??
        sql.get("SELECT at FROM llm_calls WHERE at < ? ORDER BY at DESC LIMIT 1", beforeMs);
      if (last === undefined) return 0;
      // those of one millisecond go together, since what is left is told by its time: by that of the last one that goes, and not by the
      // clock's, which may be wrong for a moment and would have every call that follows taken for one of before
      const until = Math.min(beforeMs, integerOf(last, "at") + 1);
      const horizon = Math.max(prunedBefore(sql), until);
      sql.run(
        "INSERT INTO meta (key, value) VALUES ('ledger_pruned_before', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        String(horizon),
      );
      sql.run(KEEP_LABELS, until);
      return sql.run("DELETE FROM llm_calls WHERE at < ?", until);
    },
    { isDurable: false },
  );
}

/** Calls older than this, ms since 1970, are only in the sums. */
export function prunedBefore(sql: Sql): number {
  const row = sql.get("SELECT CAST(value AS INTEGER) AS at FROM meta WHERE key = 'ledger_pruned_before'");
  return row === undefined ? 0 : integerOf(row, "at");
}
