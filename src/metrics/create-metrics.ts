import { LabelGuard } from "./cardinality.ts";
import type { Metrics } from "./metrics.ts";
import { MetricRegistry } from "./registry.ts";
import { SeriesCache } from "./series-cache.ts";
import type { Amount } from "./series.ts";

/** distinct values of `model` over all providers and sandboxes (llm-wire-formats.md §3.3) */
const MODELS = 200;
const SANDBOXES = 5000;
const FEW = 200;
const HOSTS = 1000;

/** Counts in memory; nothing is formatted before somebody asks for the text. */
export function createMetrics(): Metrics {
  const registry = new MetricRegistry();
  const models = new LabelGuard(MODELS);
  const sandboxNames = new LabelGuard(SANDBOXES);
  const reasons = new LabelGuard(FEW);
  const hosts = new LabelGuard(HOSTS);
  const words = new LabelGuard(1000);
  const sinks = new LabelGuard(FEW);
  const budgets = new LabelGuard(HOSTS);
  const states = new Set<string>();
  const sandboxOf = (name: string | undefined): string => (name === undefined ? "" : sandboxNames.clean(name));
  const overhead = {
    request: registry.histogram("overhead", { phase: "request" }),
    first_byte: registry.histogram("overhead", { phase: "first_byte" }),
  };

  const exchangeSeries = (event: Parameters<Metrics["exchange"]>[0]) => {
    const sandbox = sandboxOf(event.sandbox);
    const status_class = statusClass(event.status);
    const { decision } = event;
    return {
      requests: registry.amount("requests", { sandbox, decision, reason: reasons.clean(event.rule), status_class }),
      duration: registry.histogram("requestDuration", { decision, status_class }),
      bytesIn: registry.amount("bytes", { sandbox, direction: "in" }),
      bytesOut: registry.amount("bytes", { sandbox, direction: "out" }),
    };
  };
  /** What a tunnel carries is not seen; that it was, and how much, stands beside the requests. */
  const tunnelled = (event: Parameters<Metrics["decision"]>[0]): void => {
    const sandbox = sandboxOf(event.sandbox);
    const reason = reasons.clean(event.rule);
    registry.add("requests", { sandbox, decision: "tunnel", reason, status_class: statusClass(null) });
    registry.add("bytes", { sandbox, direction: "in" }, event.bytes_in ?? 0);
    registry.add("bytes", { sandbox, direction: "out" }, event.bytes_out ?? 0);
  };
  const callSeries = (event: Parameters<Metrics["llm"]>[0], served: boolean) => {
    const { provider } = event;
    // only what a provider answered may claim a series: a sandbox can invent names, but not make a provider serve them
    const labels = { sandbox: sandboxOf(event.sandbox), provider, model: models.clean(event.response_model ?? event.model, served) };
    const operation = words.clean(event.operation);
    return {
      labels,
      requests: registry.amount("llmRequests", { ...labels, operation, stream: String(event.streaming), outcome: event.call_outcome }),
      inputTokens: registry.amount("llmTokens", { provider, direction: "input" }),
      outputTokens: registry.amount("llmTokens", { provider, direction: "output" }),
      input: registry.amount("llmInput", labels),
      output: registry.amount("llmOutput", labels),
      cacheRead: registry.amount("llmCacheRead", labels),
      reasoning: registry.amount("llmReasoning", labels),
      cost: registry.amount("llmCost", labels),
      firstChunk: registry.histogram("llmFirstChunk", { provider }),
    };
  };
  // what thousands of records a second are counted in
  const exchanges = new SeriesCache<ReturnType<typeof exchangeSeries>>();
  const calls = new SeriesCache<ReturnType<typeof callSeries>>();
  const flights = new SeriesCache<Amount>();
  const appended = new SeriesCache<Amount>();
  const injected = new SeriesCache<Amount>();
  const inFlight = (sandbox: string): Amount =>
    flights.get([sandbox], () => registry.amount("llmInFlight", { sandbox: sandboxOf(sandbox) }));

  return {
    text: () => Promise.resolve(registry.text()),
    contentType: registry.contentType,

    exchange: (event) => {
      const series = exchanges.get([event.sandbox, event.decision, event.rule, event.status], () => exchangeSeries(event));
      series.requests.add(1);
      series.duration.observe(event.latency_ms / 1000);
      series.bytesIn.add(event.bytes_in);
      series.bytesOut.add(event.bytes_out);
    },
    decision: (event) => {
      registry.add(
        "decisions",
        { protocol: event.protocol, decision: event.decision, reason: reasons.clean(event.rule) },
        event.count ?? 1,
      );
      if (event.protocol === "tunnel" && event.decision === "allow") tunnelled(event);
    },
    llm: (event, detail = {}) => {
      const { provider } = event;
      const served = event.status !== null && event.status < 300;
      const { sandbox, model, response_model, operation, streaming, call_outcome } = event;
      const key = [sandbox, provider, response_model ?? model, served, operation, streaming, call_outcome];
      // a failed call's model may be known by the next one
      const series = served ? calls.get(key, () => callSeries(event, true)) : callSeries(event, false);
      series.requests.add(1);
      series.inputTokens.add(event.input_tokens ?? 0);
      series.outputTokens.add(event.output_tokens ?? 0);
      series.input.add(event.input_tokens ?? 0);
      series.output.add(event.output_tokens ?? 0);
      series.cacheRead.add(event.cache_read_tokens ?? 0);
      for (const [ttl, tokens] of cacheWrites(event.cache_write_tokens ?? 0, detail.cacheWrites))
        if (tokens > 0) registry.add("llmCacheWrite", { ...series.labels, ttl: words.clean(ttl) }, tokens);
      series.reasoning.add(event.reasoning_tokens ?? 0);
      for (const [unit, amount] of Object.entries(detail.units ?? {}))
        registry.add("llmUnits", { ...series.labels, unit: words.clean(unit) }, amount);
      series.cost.add(event.cost_usd ?? 0);
      if (served && event.cost_usd === null && event.input_tokens !== null)
        registry.add("llmCostUnknown", { provider, model: series.labels.model });
      if (event.usage_missing !== undefined) registry.add("llmUsageMissing", { provider, reason: words.clean(event.usage_missing) });
      if (event.ttft_ms !== null) series.firstChunk.observe(event.ttft_ms / 1000);
      if (detail.perOutputChunkSeconds !== undefined) registry.observe("llmPerChunk", { provider }, detail.perOutputChunkSeconds);
    },
    finding: (event) => registry.add("findings", { finding: words.clean(event.finding), severity: event.severity }),

    connectionOpened: () => registry.add("connections", {}, 1),
    connectionClosed: () => registry.add("connections", {}, -1),
    overhead: (phase, seconds) => overhead[phase].observe(seconds),
    tlsHandshake: (seconds) => registry.observe("tlsHandshake", {}, seconds),
    certificateMinted: () => registry.add("certMinted", {}),
    certificateCache: (entries) => registry.set("certCache", {}, entries),
    upstreamConnect: (seconds) => registry.observe("upstreamConnect", {}, seconds),
    upstreamRetry: (reason) => registry.add("upstreamRetries", { reason: words.clean(reason) }),
    llmStarted: (sandbox) => inFlight(sandbox).add(1),
    llmEnded: (sandbox) => inFlight(sandbox).add(-1),
    budget: ({ id, scope, unit, limit, used, reserved }) => {
      const labels = { budget: budgets.clean(id), scope: budgets.clean(scope), unit };
      registry.set("budgetLimit", labels, limit);
      registry.set("budgetUsed", labels, used);
      registry.set("budgetReserved", labels, reserved);
    },
    budgetDenied: (scope, reason) => registry.add("budgetDenied", { scope: budgets.clean(scope), reason: words.clean(reason) }),
    secretInjected: (secret, host) =>
      injected
        .get([secret, host], () => registry.amount("secretInjected", { secret: hosts.clean(secret), host: hosts.clean(host) }))
        .add(1),
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
      for (const cache of [exchanges, calls, flights]) cache.clear();
    },

    eventsAppended: (type, count = 1) =>
      appended.get([type], () => registry.amount("eventsAppended", { type: words.clean(type) })).add(count),
    eventsFsync: (seconds, events) => {
      registry.observe("eventsFsync", {}, seconds);
      registry.observe("eventsFsyncBatch", {}, events);
    },
    eventsFailed: (code) => registry.add("eventsFailed", { code: words.clean(code) }),

    delivery: {
      attempt: (name, result, seconds) => {
        const sink = sinks.clean(name);
        registry.add("deliveryAttempts", { sink, result });
        registry.observe("deliveryDuration", { sink }, seconds);
        const hook = hookOf(name);
        if (hook === undefined) return;
        registry.add("hookDeliveries", { hook: sinks.clean(hook), result });
        registry.observe("hookDuration", {}, seconds);
      },
      delivered: (name, events) => registry.add("deliveryEvents", { sink: sinks.clean(name) }, events),
      deadLettered: (name, events) => registry.add("deliveryDeadLetters", { sink: sinks.clean(name) }, events),
      dropped: (name, events) => registry.add("deliveryDropped", { sink: sinks.clean(name) }, events),
      gauges: (name, { lag, oldestSeconds, isFailing, isPaused }) => {
        const sink = sinks.clean(name);
        registry.set("deliveryLag", { sink }, lag);
        const hook = hookOf(name);
        if (hook !== undefined) registry.set("hookQueue", { hook: sinks.clean(hook) }, lag);
        registry.set("deliveryOldest", { sink }, oldestSeconds);
        registry.set("deliveryFailing", { sink }, isFailing ? 1 : 0);
        registry.set("deliveryPaused", { sink }, isPaused ? 1 : 0);
      },
    },

    apiRequest: ({ route, method, status, seconds }) => {
      const cleaned = routes(route);
      registry.add("apiRequests", { route: cleaned, method: words.clean(method), status_class: statusClass(status) });
      registry.observe("apiDuration", { route: cleaned }, seconds);
    },
  };
}

/** A hook's name as its owner knows it; the sinks of hooks are named `hook@NAME`. */
function hookOf(sink: string): string | undefined {
  return sink.startsWith("hook@") ? sink.slice("hook@".length) : undefined;
}

/** Tokens by how long they are kept, `unknown` for the rest: the sum is what was written. */
function cacheWrites(written: number, byTtl: Readonly<Record<string, number>> = {}): readonly (readonly [string, number])[] {
  const known = Object.entries(byTtl);
  const named = known.reduce((sum, [, tokens]) => sum + tokens, 0);
  return named > written ? [["unknown", written]] : [...known, ["unknown", written - named]];
}

/** Routes are patterns such as `/sandboxes/{name}` that the program itself declares. */
function routes(route: string): string {
  return /^[A-Za-z0-9/_{}:*.-]{1,128}$/.test(route) ? route : "_other";
}

function statusClass(status: number | null): string {
  return status === null ? "none" : `${Math.floor(status / 100)}xx`;
}
