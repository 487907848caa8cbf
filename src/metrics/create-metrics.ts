import { LabelGuard } from "./cardinality.ts";
import type { Metrics } from "./metrics.ts";
import { MetricRegistry } from "./registry.ts";

/** distinct values of `model` over all providers and sandboxes (llm-wire-formats.md §3.3) */
const MODELS = 200;
const SANDBOXES = 5000;
const FEW = 200;
const HOSTS = 1000;

/** Metrics on prom-client with a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new MetricRegistry();
  const models = new LabelGuard(MODELS);
  const sandboxNames = new LabelGuard(SANDBOXES);
  const reasons = new LabelGuard(FEW);
  const hosts = new LabelGuard(HOSTS);
  const words = new LabelGuard(1000);
  const states = new Set<string>();
  const sandboxOf = (name: string | undefined): string => (name === undefined ? "" : sandboxNames.clean(name));

  return {
    text: () => registry.text(),
    contentType: registry.contentType,

    exchange: (event) => {
      const sandbox = sandboxOf(event.sandbox);
      const status_class = statusClass(event.status);
      const decision = event.decision === "allow" && !event.inspected ? "tunnel" : event.decision;
      registry.add("requests", { sandbox, decision, reason: reasons.clean(event.rule), status_class });
      registry.observe("requestDuration", { decision, status_class }, event.latency_ms / 1000);
      registry.add("bytes", { sandbox, direction: "in" }, event.bytes_in);
      registry.add("bytes", { sandbox, direction: "out" }, event.bytes_out);
    },
    decision: (event) => {
      registry.add(
        "decisions",
        { protocol: event.protocol, decision: event.decision, reason: reasons.clean(event.rule) },
        event.count ?? 1,
      );
    },
    llm: (event, units, timing) => {
      const sandbox = sandboxOf(event.sandbox);
      const { provider } = event;
      const served = event.status !== null && event.status < 300;
      // only what a provider answered may claim a series: a sandbox can invent names, but not make a provider serve them
      const model = models.clean(event.response_model ?? event.model, served);
      const labels = { sandbox, provider, model };
      const operation = words.clean(event.operation);
      registry.add("llmRequests", { ...labels, operation, stream: String(event.streaming), outcome: event.call_outcome });
      registry.add("llmTokens", { provider, direction: "input" }, event.input_tokens ?? 0);
      registry.add("llmTokens", { provider, direction: "output" }, event.output_tokens ?? 0);
      registry.add("llmInput", labels, event.input_tokens ?? 0);
      registry.add("llmOutput", labels, event.output_tokens ?? 0);
      registry.add("llmCacheRead", labels, event.cache_read_tokens ?? 0);
      registry.add("llmCacheWrite", labels, event.cache_write_tokens ?? 0);
      registry.add("llmReasoning", labels, event.reasoning_tokens ?? 0);
      for (const [unit, amount] of Object.entries(units ?? {})) registry.add("llmUnits", { ...labels, unit: words.clean(unit) }, amount);
      registry.add("llmCost", labels, event.cost_usd ?? 0);
      if (served && event.cost_usd === null && event.input_tokens !== null) registry.add("llmCostUnknown", { provider, model });
      if (event.usage_missing !== undefined) registry.add("llmUsageMissing", { provider, reason: words.clean(event.usage_missing) });
      if (event.ttft_ms !== null) registry.observe("llmFirstChunk", { provider }, event.ttft_ms / 1000);
      if (timing?.perOutputChunkSeconds !== undefined) registry.observe("llmPerChunk", { provider }, timing.perOutputChunkSeconds);
    },
    finding: (event) => registry.add("findings", { finding: words.clean(event.finding), severity: event.severity }),

    connectionOpened: () => registry.change("connections", {}, 1),
    connectionClosed: () => registry.change("connections", {}, -1),
    overhead: (phase, seconds) => registry.observe("overhead", { phase }, seconds),
    tlsHandshake: (seconds) => registry.observe("tlsHandshake", {}, seconds),
    certificateMinted: () => registry.add("certMinted", {}),
    certificateCache: (entries) => registry.set("certCache", {}, entries),
    upstreamConnect: (seconds) => registry.observe("upstreamConnect", {}, seconds),
    upstreamRetry: (reason) => registry.add("upstreamRetries", { reason: words.clean(reason) }),
    llmStarted: (sandbox) => registry.change("llmInFlight", { sandbox: sandboxOf(sandbox) }, 1),
    llmEnded: (sandbox) => registry.change("llmInFlight", { sandbox: sandboxOf(sandbox) }, -1),
    secretInjected: (secret, host) => registry.add("secretInjected", { secret: hosts.clean(secret), host: hosts.clean(host) }),
    secretBlocked: (reason) => registry.add("secretBlocked", { reason }),

    sandboxStarted: ({ backend, seconds }) => registry.observe("sandboxStart", { backend: words.clean(backend) }, seconds),
    sandboxStartFailed: ({ backend, code }) =>
      registry.add("sandboxStartFailures", { backend: words.clean(backend), code: words.clean(code) }),
    sandboxEnded: ({ backend, reason }) => registry.add("sandboxEnds", { backend: words.clean(backend), reason: words.clean(reason) }),
    sandboxes: (counts) => {
      for (const state of Object.keys(counts)) states.add(words.clean(state));
      for (const state of states) registry.set("sandboxes", { state }, counts[state] ?? 0);
    },
    execEnded: ({ backend, outcome, seconds }) => {
      registry.add("execs", { backend: words.clean(backend), outcome: words.clean(outcome) });
      registry.observe("execDuration", { backend: words.clean(backend) }, seconds);
    },
    removeSandbox: (name) => {
      sandboxNames.forget(name);
      registry.removeWhere("sandbox", name);
    },

    eventsAppended: (type, count = 1) => registry.add("eventsAppended", { type: words.clean(type) }, count),
    eventsFsync: (seconds, events) => {
      registry.observe("eventsFsync", {}, seconds);
      registry.observe("eventsFsyncBatch", {}, events);
    },
    eventsFailed: (code) => registry.add("eventsFailed", { code: words.clean(code) }),

    apiRequest: ({ route, method, status, seconds }) => {
      const cleaned = routes(route);
      registry.add("apiRequests", { route: cleaned, method: words.clean(method), status_class: statusClass(status) });
      registry.observe("apiDuration", { route: cleaned }, seconds);
    },
  };
}

/** Routes are patterns such as `/sandboxes/{name}` that the program itself declares. */
function routes(route: string): string {
  return /^[A-Za-z0-9/_{}:*.-]{1,128}$/.test(route) ? route : "_other";
}

function statusClass(status: number | null): string {
  return status === null ? "none" : `${Math.floor(status / 100)}xx`;
}
