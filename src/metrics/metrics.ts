import type { DecisionEvent, ExchangeEvent, FindingEvent, LlmEvent } from "../schema/event.ts";

/** An event as its maker has it, before the log gave it an id and a time. */
type Fresh<T> = Omit<T, "id" | "schema_version" | "timestamp">;

/** What a model call's record does not hold. */
export type LlmDetail = {
  /** billed units that are no tokens, by name */
  readonly units?: Readonly<Record<string, number>>;
  /** tokens written to the cache by how long they are kept; what is not named here is `unknown` */
  readonly cacheWrites?: Readonly<Record<string, number>>;
  /** seconds from the first to the last body chunk, divided by the chunks between; streams only */
  readonly perOutputChunkSeconds?: number;
};

/** What streams and hooks count; `sink` is the name of one. */
export interface DeliveryMeter {
  /** one request and how it ended */
  attempt(sink: string, result: "delivered" | "retry" | "rejected" | "paused", seconds: number): void;
  delivered(sink: string, events: number): void;
  deadLettered(sink: string, events: number): void;
  dropped(sink: string, events: number): void;
  gauges(
    sink: string,
    values: { readonly lag: number; readonly oldestSeconds: number; readonly isFailing: boolean; readonly isPaused: boolean },
  ): void;
}

/**
 * The one table of metrics as typed calls; names, labels and buckets stand in `table.ts` and nowhere else. Every method is
 * synchronous, cheap and never throws: untrusted label values (model, host, reason) are cleaned and capped inside.
 */
export interface Metrics {
  /** Prometheus text exposition, version 0.0.4 */
  text(): Promise<string>;
  /** value of the Content-Type header that fits `text()` */
  readonly contentType: string;

  // gateway: records
  /** requests, duration and bytes, from the canonical record of one exchange */
  exchange(event: Fresh<ExchangeEvent>): void;
  /** a decision without an HTTP exchange */
  decision(event: Fresh<DecisionEvent>): void;
  /** requests, tokens, cost and missing usage, from the canonical record of one model call */
  llm(event: Fresh<LlmEvent>, detail?: LlmDetail): void;
  finding(event: Fresh<FindingEvent>): void;

  // gateway: what records do not hold
  connectionOpened(): void;
  connectionClosed(): void;
  /** seconds that agentkernel itself added before the request went out, or before the first byte came back */
  overhead(phase: "request" | "first_byte", seconds: number): void;
  /** TLS with the sandbox: seconds of a finished handshake */
  tlsHandshake(seconds: number): void;
  certificateMinted(): void;
  /** certificates held in the cache now */
  certificateCache(entries: number): void;
  /** seconds from dial to a usable upstream connection */
  upstreamConnect(seconds: number): void;
  upstreamRetry(reason: string): void;
  /** model calls in flight, per sandbox */
  llmStarted(sandbox: string): void;
  llmEnded(sandbox: string): void;
  /** figures of one budget, in its unit (dollars, not nano-dollars) */
  budget(budget: {
    readonly id: string;
    readonly scope: string;
    readonly unit: string;
    readonly limit: number;
    readonly used: number;
    readonly reserved: number;
  }): void;
  /** a call that was refused: by a budget of this scope, or (`models`) by the permitted models */
  budgetDenied(scope: string, reason: string): void;
  secretInjected(secret: string, host: string): void;
  secretBlocked(reason: "host_not_allowed" | "reflected" | "redirect"): void;

  // sandboxes
  sandboxStarted(sandbox: { readonly backend: string; readonly seconds: number }): void;
  sandboxStartFailed(sandbox: { readonly backend: string; readonly code: string }): void;
  sandboxEnded(sandbox: { readonly backend: string; readonly reason: string }): void;
  /** sandboxes in each state now; states that are not named count 0 */
  sandboxes(states: Readonly<Record<string, number>>): void;
  /** exec ended; `outcome` is `exit`, `signal`, `timeout`, `error` */
  execEnded(exec: { readonly backend: string; readonly outcome: string; readonly seconds: number }): void;
  /** drops every series that carries this sandbox's name */
  removeSandbox(name: string): void;

  // event log
  eventsAppended(type: string, count?: number): void;
  /** one group commit: its fdatasync in seconds and how many events it made durable */
  eventsFsync(seconds: number, events: number): void;
  eventsFailed(code: string): void;

  readonly delivery: DeliveryMeter;

  // control API
  apiRequest(request: { readonly route: string; readonly method: string; readonly status: number; readonly seconds: number }): void;
}
