import { messageOf } from "../../base/error.ts";
import type { Recognition, RequestFacts, ResponseFacts } from "../../providers/types.ts";
import type { CallOutcome } from "../../schema/provider.ts";
import type { Usage } from "../../schema/usage.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { EgressReporter } from "../options.ts";
import type { Runtime } from "../runtime.ts";

type CallRecord = Parameters<EgressReporter["llm"]>[0];

/** What belongs to one call of several in a WebSocket, and not to the exchange that carries them all. */
export type CallPart = Pick<Exchange, "startedAt" | "firstByteAt" | "answerChunks" | "decision" | "status">;

const MAX_MODEL = 256;

/** One record for one model call, allowed, denied or failed, without what was counted before. Gives the record. */
export function reportCall(
  runtime: Runtime,
  exchange: Exchange,
  recognition: Recognition,
  facts: RequestFacts | undefined,
  response: ResponseFacts | undefined,
  part: CallPart = exchange,
): CallRecord {
  const { egress } = exchange.generation;
  const denied = part.decision?.verdict !== "allow";
  const model = (facts?.model ?? recognition.model ?? "unknown").slice(0, MAX_MODEL);
  const usage = response?.usage ?? null;
  const outcome = denied ? "denied" : part === exchange ? outcomeOf(exchange, response) : (response?.outcome ?? "aborted");
  const event: CallRecord = {
    type: "llm.call",
    actor: { kind: "sandbox", user_id: egress.name },
    outcome: denied ? "deny" : outcome === "ok" ? "permit" : outcome === "aborted" ? "info" : "error",
    sandbox: egress.name,
    sandbox_uuid: egress.uuid,
    request_id: exchange.id,
    labels: egress.labels,
    provider: recognition.provider,
    host: exchange.target?.host.text ?? "",
    method: exchange.method.slice(0, 32),
    path: (exchange.target?.path ?? "").slice(0, 1024),
    model,
    response_model: response?.responseModel?.slice(0, MAX_MODEL) ?? null,
    operation: recognition.operation,
    status: part.status,
    latency_ms: round(runtime.clock.monotonic() - part.startedAt),
    ttft_ms: part.firstByteAt === undefined ? null : round(part.firstByteAt - part.startedAt),
    streaming: recognition.streaming ?? facts?.streaming ?? false,
    input_tokens: usage?.input ?? null,
    output_tokens: usage?.output ?? null,
    total_tokens: usage?.total ?? null,
    cache_read_tokens: usage?.cacheRead ?? null,
    cache_write_tokens: usage?.cacheWrite ?? null,
    reasoning_tokens: usage?.reasoning ?? null,
    ...(usage?.billedInput == null ? {} : { billed_input_tokens: usage.billedInput }),
    ...(usage?.billedOutput == null ? {} : { billed_output_tokens: usage.billedOutput }),
    usage_source: response?.source ?? "none",
    ...(response?.missing == null ? {} : { usage_missing: response.missing }),
    ...(facts?.ambiguous === true ? { request_ambiguous: true } : {}),
    ...(facts?.unparsable === true ? { request_unparsable: true } : {}),
    call_outcome: outcome,
    cost_usd: costUsd(runtime, recognition, exchange, facts, response),
    ...(response?.responseId == null ? {} : { response_id: response.responseId.slice(0, 256) }),
    secret_injected: exchange.secretsInjected.length > 0,
    key_source: exchange.keySource,
    decision: denied ? "deny" : "allow",
  };
  exchange.callReported = true;
  const isRepeat = runtime.counted.isRepeat(event);
  const counted = isRepeat ? { ...event, ...NOTHING_USED } : event;
  const perChunk = perOutputChunkSeconds(part.answerChunks);
  runtime.metrics.llm(counted, {
    ...(isRepeat || usage === null ? {} : { units: usage.units, cacheWrites: cacheWrites(usage) }),
    ...(perChunk === undefined || !event.streaming ? {} : { perOutputChunkSeconds: perChunk }),
  });
  // one of several is told as it ends: nobody knows when the exchange will
  if (exchange.heldCalls === undefined || exchange.isUpgrade || part !== exchange) runtime.report.llm(counted);
  else exchange.heldCalls.push(counted);
  return counted;
}

/** Anthropic and Bedrock keep for five minutes what is not kept for an hour. */
function cacheWrites({ cacheWrite, cacheWrite1h, cacheWriteTtl }: Usage): Readonly<Record<string, number>> {
  if (cacheWriteTtl !== undefined) return cacheWriteTtl;
  return cacheWrite1h === null ? {} : { "1h": cacheWrite1h, "5m": Math.max(0, (cacheWrite ?? 0) - cacheWrite1h) };
}

/** The mean time between the chunks of a body; undefined for one that came at once. */
function perOutputChunkSeconds(chunks: Exchange["answerChunks"]): number | undefined {
  return chunks === undefined || chunks.count < 2 ? undefined : (chunks.lastAt - chunks.firstAt) / 1000 / (chunks.count - 1);
}

/** What was fetched again was used before: this call used nothing. */
const NOTHING_USED = {
  input_tokens: null,
  output_tokens: null,
  total_tokens: null,
  cache_read_tokens: null,
  cache_write_tokens: null,
  reasoning_tokens: null,
  usage_source: "none",
  cost_usd: null,
} as const;

function outcomeOf(exchange: Exchange, response: ResponseFacts | undefined): CallOutcome {
  // a client that hung up behind the last event was served in full, which the answer's reader knows
  if (response !== undefined) return exchange.wasDrained === true ? "aborted" : response.outcome;
  // no head ever came from upstream: what the client got was ours
  return exchange.end === "aborted" ? "aborted" : "server_error";
}

function costUsd(
  runtime: Runtime,
  recognition: Recognition,
  exchange: Exchange,
  facts: RequestFacts | undefined,
  response: ResponseFacts | undefined,
): number | null {
  const usage = response?.usage;
  const model = response?.responseModel ?? facts?.model ?? recognition.model;
  if (usage == null || model == null || !recognition.billable) return null;
  if (usage.costReportedUsd !== null) return usage.costReportedUsd;
  try {
    const serviceTier = response?.serviceTier ?? facts?.serviceTier ?? null;
    const nano =
      runtime.costOf({ provider: recognition.provider, model, usage, serviceTier, at: runtime.clock.now() }) ??
      // a response may name a snapshot that the price table does not know yet
      (facts?.model == null
        ? null
        : runtime.costOf({ provider: recognition.provider, model: facts.model, usage, serviceTier, at: runtime.clock.now() }));
    return nano === null ? null : Number(nano) / 1e9;
  } catch (error) {
    runtime.log.warn("the price of a call could not be computed", { request_id: exchange.id, error: messageOf(error) });
    return null;
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
