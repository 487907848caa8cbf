/** One metric: its name without the prefix, what it says, its labels. `buckets` make a histogram (upper bounds, in its unit). */
export type MetricRow = {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
};

export const PREFIX = "agentkernel_";

const LATENCY = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const SHORT = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25];
const CONNECT = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const counter = (name: string, help: string, ...labels: readonly string[]): MetricRow => ({ kind: "counter", name, help, labels });
const gauge = (name: string, help: string, ...labels: readonly string[]): MetricRow => ({ kind: "gauge", name, help, labels });
const histogram = (name: string, help: string, buckets: readonly number[], ...labels: readonly string[]): MetricRow => ({
  kind: "histogram",
  name,
  help,
  labels,
  buckets,
});

/**
 * Every metric there is. Subsets (cached, reasoning) have names of their own, since a label over subsets makes every sum wrong;
 * `llm_tokens_total` stands beside the finer ones because dashboards rely on it. No histogram carries the sandbox.
 */
export const METRICS = {
  requests: counter("requests_total", "Requests through the gateway.", "sandbox", "decision", "reason", "status_class"),
  requestDuration: histogram(
    "request_duration_seconds",
    "Time from a request's first byte to the end of its response.",
    LATENCY,
    "decision",
    "status_class",
  ),
  overhead: histogram("proxy_overhead_seconds", "Time that the gateway itself added.", SHORT, "phase"),
  bytes: counter("bytes_total", "Bytes of bodies and tunnels: out is what the sandbox sent.", "sandbox", "direction"),
  decisions: counter("decisions_total", "Decisions without an HTTP exchange.", "protocol", "decision", "reason"),
  findings: counter("findings_total", "Security findings.", "finding", "severity"),
  connections: gauge("connections_active", "Open connections from sandboxes."),
  tlsHandshake: histogram("tls_handshake_seconds", "TLS handshakes with sandboxes.", CONNECT),
  certMinted: counter("cert_minted_total", "Leaf certificates minted."),
  certCache: gauge("cert_cache_entries", "Leaf certificates held."),
  upstreamConnect: histogram("upstream_connect_seconds", "Time from dial to a usable upstream connection.", CONNECT),
  upstreamRetries: counter("upstream_retries_total", "Requests sent again on a fresh upstream connection.", "reason"),

  llmRequests: counter("llm_requests_total", "Model calls.", "sandbox", "provider", "model", "operation", "stream", "outcome"),
  llmTokens: counter("llm_tokens_total", "Tokens of model calls.", "provider", "direction"),
  llmInput: counter("llm_input_tokens_total", "Input tokens, cache reads and writes included.", "sandbox", "provider", "model"),
  llmOutput: counter("llm_output_tokens_total", "Output tokens, reasoning included.", "sandbox", "provider", "model"),
  llmCacheRead: counter(
    "llm_cache_read_input_tokens_total",
    "Input tokens read from the provider's cache.",
    "sandbox",
    "provider",
    "model",
  ),
  llmCacheWrite: counter(
    "llm_cache_write_input_tokens_total",
    "Input tokens written to the provider's cache, by how long they are kept.",
    "sandbox",
    "provider",
    "model",
    "ttl",
  ),
  llmReasoning: counter("llm_reasoning_output_tokens_total", "Output tokens spent on reasoning.", "sandbox", "provider", "model"),
  llmUnits: counter("llm_billable_units_total", "Billed units that are no tokens.", "sandbox", "provider", "model", "unit"),
  llmCost: counter("llm_cost_usd_total", "Money spent on model calls with a known price.", "sandbox", "provider", "model"),
  llmCostUnknown: counter("llm_cost_unknown_total", "Served model calls without a known price.", "provider", "model"),
  llmUsageMissing: counter("llm_usage_missing_total", "Model calls whose usage did not come from the provider.", "provider", "reason"),
  llmFirstChunk: histogram("llm_time_to_first_chunk_seconds", "Time from a model call's first byte to its answer's.", LATENCY, "provider"),
  llmPerChunk: histogram("llm_time_per_output_chunk_seconds", "Mean time between chunks of a streamed answer.", CONNECT, "provider"),
  llmInFlight: gauge("llm_in_flight", "Model calls under way.", "sandbox"),
  budgetLimit: gauge("budget_limit", "Limit of a budget: dollars, tokens or calls.", "budget", "scope", "unit"),
  budgetUsed: gauge("budget_used", "What is used of a budget in its window.", "budget", "scope", "unit"),
  budgetReserved: gauge("budget_reserved", "What calls under way hold of a budget.", "budget", "scope", "unit"),
  budgetDenied: counter("budget_denied_total", "Model calls that a budget or the permitted models refused.", "scope", "reason"),
  secretInjected: counter("secret_injected_total", "Secrets put into requests.", "secret", "host"),
  secretBlocked: counter("secret_blocked_total", "Secrets or placeholders kept from where they do not belong.", "reason"),

  sandboxes: gauge("sandboxes", "Sandboxes by state.", "state"),
  sandboxStart: histogram("sandbox_start_seconds", "Time to a started sandbox.", CONNECT, "backend"),
  sandboxStartFailures: counter("sandbox_start_failures_total", "Sandboxes that did not start.", "backend", "code"),
  sandboxEnds: counter("sandbox_ends_total", "Sandboxes that ended.", "backend", "reason"),
  execs: counter("execs_total", "Commands that ended.", "backend", "outcome"),
  execDuration: histogram("exec_duration_seconds", "Time that commands ran.", LATENCY, "backend"),

  eventsAppended: counter("events_appended_total", "Events written to the log.", "type"),
  eventsFailed: counter("events_failed_total", "Events that could not be written.", "code"),
  eventsFsync: histogram("events_fsync_seconds", "Group commits of the event log: time of the sync.", SHORT.concat([0.5, 1])),
  eventsFsyncBatch: histogram(
    "events_fsync_batch_events",
    "Group commits of the event log: events made durable at once.",
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000],
  ),

  deliveryAttempts: counter("delivery_attempts_total", "Requests to a stream or hook.", "sink", "result"),
  deliveryDuration: histogram("delivery_seconds", "Time of requests to a stream or hook.", LATENCY, "sink"),
  deliveryEvents: counter("delivery_events_total", "Events that a stream or hook received.", "sink"),
  deliveryDeadLetters: counter("delivery_dead_letters_total", "Events that a stream or hook will never take.", "sink"),
  deliveryDropped: counter("delivery_dropped_total", "Events that were removed before a stream or hook received them.", "sink"),
  deliveryLag: gauge("delivery_lag_events", "Events that a stream or hook has not received yet.", "sink"),
  deliveryOldest: gauge("delivery_oldest_unacked_seconds", "Age of the oldest event that a stream or hook has not received.", "sink"),
  deliveryFailing: gauge("delivery_failing", "Whether a stream or hook is failing or paused.", "sink"),
  deliveryPaused: gauge("delivery_paused", "Whether a stream or hook is paused until somebody acts.", "sink"),

  hookDeliveries: counter("hook_deliveries_total", "Requests to a hook.", "hook", "result"),
  hookDuration: histogram("hook_delivery_seconds", "Time of requests to hooks.", LATENCY),
  hookQueue: gauge("hook_queue_depth", "Events that a hook has not received yet.", "hook"),

  apiRequests: counter("api_requests_total", "Requests to the control API.", "route", "method", "status_class"),
  apiDuration: histogram("api_request_duration_seconds", "Time of requests to the control API.", LATENCY, "route"),
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricKey = keyof typeof METRICS;
