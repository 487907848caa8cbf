import type { UsageEntry } from "../schema/api.ts";
import type { LlmEvent } from "../schema/event.ts";
import { FREE_OPERATIONS } from "../schema/operation.ts";
import { CountedResponses } from "./counted-responses.ts";
import { fromNanoUsd, toNanoUsd } from "./nano.ts";

/** What of a call's record counts for usage. */
export type CountedCall = Pick<
  LlmEvent,
  | "provider"
  | "model"
  | "operation"
  | "timestamp"
  | "status"
  | "streaming"
  | "input_tokens"
  | "output_tokens"
  | "total_tokens"
  | "cache_read_tokens"
  | "cache_write_tokens"
  | "reasoning_tokens"
  | "usage_source"
  | "call_outcome"
  | "cost_usd"
  | "decision"
> & { readonly response_id?: string | undefined };

/** The provider took the call, so tokens were used, known or not. */
function wasServed(call: CountedCall): boolean {
  return !FREE_OPERATIONS.has(call.operation) && (call.status === null ? call.call_outcome === "aborted" : call.status < 300);
}

/** The provider's usage is unknown, and none was estimated. */
export function isUnmetered(call: CountedCall): boolean {
  return wasServed(call) && call.usage_source === "none";
}

export function isUnpriced(call: CountedCall): boolean {
  return wasServed(call) && call.cost_usd === null;
}

/** A failure of the provider or of the request; a client that hung up is none. */
export function isFailed(call: CountedCall): boolean {
  return call.call_outcome !== "ok" && call.call_outcome !== "aborted";
}

export function emptyEntry(provider: string, model: string): UsageEntry {
  return {
    provider,
    model,
    request_count: 0,
    streaming_count: 0,
    error_count: 0,
    unmetered_requests: 0,
    total_input_tokens: 0,
    total_output_tokens: 0,
    total_tokens: 0,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    cost_usd: null,
    unpriced_requests: 0,
    last_request: "",
  };
}

/** The entry after one more call: sums of what is known, counts of what is not. A denied call never left and counts nowhere. */
export function addCall(entry: UsageEntry, call: CountedCall): UsageEntry {
  if (call.decision === "deny") return entry;
  return {
    ...entry,
    request_count: entry.request_count + 1,
    streaming_count: entry.streaming_count + (call.streaming ? 1 : 0),
    error_count: entry.error_count + (isFailed(call) ? 1 : 0),
    unmetered_requests: entry.unmetered_requests + (isUnmetered(call) ? 1 : 0),
    total_input_tokens: entry.total_input_tokens + (call.input_tokens ?? 0),
    total_output_tokens: entry.total_output_tokens + (call.output_tokens ?? 0),
    total_tokens: entry.total_tokens + (call.total_tokens ?? (call.input_tokens ?? 0) + (call.output_tokens ?? 0)),
    cache_read_tokens: entry.cache_read_tokens + (call.cache_read_tokens ?? 0),
    cache_write_tokens: entry.cache_write_tokens + (call.cache_write_tokens ?? 0),
    reasoning_tokens: entry.reasoning_tokens + (call.reasoning_tokens ?? 0),
    cost_usd: addUsd(entry.cost_usd, call.cost_usd),
    unpriced_requests: entry.unpriced_requests + (isUnpriced(call) ? 1 : 0),
    last_request: call.timestamp > entry.last_request ? call.timestamp : entry.last_request,
  };
}

/**
 * Entries of all calls by provider and requested model, the largest first. A call that comes twice (a replay) counts once, by its id;
 * the tokens of a response that was fetched again count once, by the response's.
 */
export function foldCalls(calls: Iterable<CountedCall & { readonly id: string }>): readonly UsageEntry[] {
  const entries = new Map<string, UsageEntry>();
  const seen = new Set<string>();
  const counted = new CountedResponses(Number.POSITIVE_INFINITY);
  for (const call of calls) {
    if (call.decision === "deny" || seen.has(call.id)) continue;
    seen.add(call.id);
    const key = `${call.provider}\n${call.model}`;
    entries.set(
      key,
      addCall(entries.get(key) ?? emptyEntry(call.provider, call.model), counted.isRepeat(call) ? withoutTokens(call) : call),
    );
  }
  return [...entries.values()].sort(
    (a, b) => b.total_tokens - a.total_tokens || compare(a.provider, b.provider) || compare(a.model, b.model),
  );
}

function withoutTokens<T extends CountedCall>(call: T): T {
  return {
    ...call,
    input_tokens: null,
    output_tokens: null,
    total_tokens: null,
    cache_read_tokens: null,
    cache_write_tokens: null,
    reasoning_tokens: null,
    cost_usd: null,
  };
}

/** Dollars added in nano-dollars, so that the order of calls does not change the sum. */
function addUsd(sum: number | null, cost: number | null): number | null {
  if (cost === null) return sum;
  const left = toNanoUsd(sum ?? 0);
  const right = toNanoUsd(cost);
  return left === null || right === null ? sum : fromNanoUsd(left + right);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
