/**
 * Operations that fetch what another call made: the same usage comes with every fetch, so its tokens count once per response id.
 * Only these: an ordinary call is never taken for a repeat, since some servers give every answer the same id.
 */
export const FETCH_OPERATIONS: ReadonlySet<string> = new Set(["fetch_response", "fetch_batch", "batch_results"]);

/** Operations that use no tokens of their own: nothing is missing when they report none. */
export const FREE_OPERATIONS: ReadonlySet<string> = new Set([
  ...FETCH_OPERATIONS,
  "count_tokens",
  "moderation",
  "fetch_operation",
  "create_batch",
  "async_invoke",
  "realtime_session",
  "live_session",
  "agent_run",
]);
