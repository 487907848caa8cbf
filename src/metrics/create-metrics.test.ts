import { describe, expect, it } from "vitest";
import type { DecisionEvent, ExchangeEvent, LlmEvent } from "../schema/event.ts";
import { createMetrics } from "./create-metrics.ts";
import { METRICS, PREFIX } from "./table.ts";

const policy = { id: "moderate", version: 1 };
const actor = { kind: "sandbox", user_id: "web" } as const;

function exchange(change: Partial<ExchangeEvent> = {}): Omit<ExchangeEvent, "id" | "schema_version" | "timestamp"> {
  return {
    type: "egress.exchange",
    actor,
    outcome: "permit",
    sandbox: "web",
    method: "GET",
    url: "https://example.com/",
    host: "example.com",
    port: 443,
    status: 200,
    decision: "allow",
    rule: "allow-example",
    reason: "",
    policy,
    protocol: "http/1.1",
    inspected: true,
    secret_injected: false,
    bytes_in: 10,
    bytes_out: 4,
    latency_ms: 20,
    ...change,
  };
}

function tunnel(change: Partial<DecisionEvent> = {}): Omit<DecisionEvent, "id" | "schema_version" | "timestamp"> {
  return {
    type: "egress.decision",
    actor,
    outcome: "permit",
    sandbox: "web",
    protocol: "tunnel",
    host: "pinned.example.com",
    port: 443,
    decision: "allow",
    rule: "pinned",
    reason: "",
    policy,
    bytes_in: 1000,
    bytes_out: 502,
    duration_ms: 3000,
    ...change,
  };
}

function call(change: Partial<LlmEvent> = {}): Omit<LlmEvent, "id" | "schema_version" | "timestamp"> {
  return {
    type: "llm.call",
    actor,
    outcome: "permit",
    sandbox: "web",
    provider: "openai",
    host: "api.openai.com",
    method: "POST",
    path: "/v1/chat/completions",
    model: "gpt-5",
    response_model: null,
    operation: "chat",
    status: 200,
    latency_ms: 900,
    ttft_ms: 300,
    streaming: true,
    input_tokens: 100,
    output_tokens: 20,
    total_tokens: 120,
    cache_read_tokens: 50,
    cache_write_tokens: null,
    reasoning_tokens: 5,
    usage_source: "reported",
    call_outcome: "ok",
    cost_usd: 0.25,
    secret_injected: false,
    key_source: "none",
    decision: "allow",
    ...change,
  };
}

function series(text: string, name: string): readonly string[] {
  return text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

describe("metrics", () => {
  it("counts an exchange by sandbox, decision, rule and status class", async () => {
    const metrics = createMetrics();
    metrics.exchange(exchange());
    metrics.exchange(exchange({ decision: "deny", rule: "default", status: 403 }));
    metrics.decision(tunnel());
    metrics.decision(tunnel({ decision: "deny" }));
    const text = await metrics.text();
    expect(series(text, "agentkernel_requests_total")).toEqual([
      'agentkernel_requests_total{sandbox="web",decision="allow",reason="allow-example",status_class="2xx"} 1',
      'agentkernel_requests_total{sandbox="web",decision="deny",reason="default",status_class="4xx"} 1',
      'agentkernel_requests_total{sandbox="web",decision="tunnel",reason="pinned",status_class="none"} 1',
    ]);
    expect(text).toContain('agentkernel_bytes_total{sandbox="web",direction="in"} 1020');
    expect(text).toContain('agentkernel_bytes_total{sandbox="web",direction="out"} 510');
    expect(series(text, "agentkernel_decisions_total")).toEqual([
      'agentkernel_decisions_total{protocol="tunnel",decision="allow",reason="pinned"} 1',
      'agentkernel_decisions_total{protocol="tunnel",decision="deny",reason="pinned"} 1',
    ]);
  });

  it("keeps the two names that dashboards rely on beside the finer ones", async () => {
    const metrics = createMetrics();
    metrics.llm(call(), { units: { web_searches: 2 } });
    const text = await metrics.text();
    expect(text).toMatch(/agentkernel_llm_requests_total\{[^}]*provider="openai",model="gpt-5"[^}]*outcome="ok"\} 1/);
    expect(text).toContain('agentkernel_llm_tokens_total{provider="openai",direction="input"} 100');
    expect(text).toContain('agentkernel_llm_tokens_total{provider="openai",direction="output"} 20');
    expect(text).toContain('agentkernel_llm_cache_read_input_tokens_total{sandbox="web",provider="openai",model="gpt-5"} 50');
    expect(text).toContain('agentkernel_llm_cost_usd_total{sandbox="web",provider="openai",model="gpt-5"} 0.25');
    expect(text).toContain('unit="web_searches"} 2');
    expect(series(text, "agentkernel_llm_cache_write_input_tokens_total")).toEqual([]);
  });

  it("tells cache writes apart by how long they are kept, and their sum is what was written", async () => {
    const metrics = createMetrics();
    metrics.llm(call({ cache_write_tokens: 100 }), { cacheWrites: { "5m": 70, "1h": 30 } });
    metrics.llm(call({ cache_write_tokens: 40 }), { cacheWrites: { "30m": 30 } });
    metrics.llm(call({ cache_write_tokens: 5 }));
    // parts that are more than the whole cannot be believed
    metrics.llm(call({ cache_write_tokens: 1 }), { cacheWrites: { "1h": 1_000 } });
    const found = series(await metrics.text(), "agentkernel_llm_cache_write_input_tokens_total");
    expect(Object.fromEntries(found.map((line) => [/ttl="([^"]*)"/.exec(line)?.[1], Number(line.split(" ").at(-1))]))).toEqual({
      "5m": 70,
      "1h": 30,
      "30m": 30,
      unknown: 16,
    });
  });

  it("counts what hooks receive under their own names, beside all deliveries", async () => {
    const metrics = createMetrics();
    metrics.delivery.attempt("hook@siem", "delivered", 0.02);
    metrics.delivery.attempt("hook@siem", "retry", 0.02);
    metrics.delivery.attempt("splunk", "delivered", 0.02);
    metrics.delivery.gauges("hook@siem", { lag: 7, oldestSeconds: 1, isFailing: false, isPaused: false });
    metrics.delivery.gauges("splunk", { lag: 3, oldestSeconds: 1, isFailing: false, isPaused: false });
    const text = await metrics.text();
    expect(series(text, "agentkernel_hook_deliveries_total")).toEqual([
      'agentkernel_hook_deliveries_total{hook="siem",result="delivered"} 1',
      'agentkernel_hook_deliveries_total{hook="siem",result="retry"} 1',
    ]);
    expect(series(text, "agentkernel_hook_queue_depth")).toEqual(['agentkernel_hook_queue_depth{hook="siem"} 7']);
    expect(text).toContain("agentkernel_hook_delivery_seconds_count 2");
    expect(series(text, "agentkernel_delivery_attempts_total")).toHaveLength(3);
  });

  it("says when usage or price is unknown instead of counting zero", async () => {
    const metrics = createMetrics();
    metrics.llm(call({ cost_usd: null }));
    metrics.llm(
      call({
        input_tokens: null,
        output_tokens: null,
        total_tokens: null,
        cost_usd: null,
        usage_source: "none",
        usage_missing: "encoding",
      }),
    );
    const text = await metrics.text();
    expect(text).toContain('agentkernel_llm_cost_unknown_total{provider="openai",model="gpt-5"} 1');
    expect(text).toContain('agentkernel_llm_usage_missing_total{provider="openai",reason="encoding"} 1');
  });

  it("makes at most 200 model series of 10,000 invented names, and none of those that failed", async () => {
    const metrics = createMetrics();
    for (let i = 0; i < 500; i += 1) metrics.llm(call({ model: `fake-${i}`, status: 404, call_outcome: "client_error" }));
    for (let i = 0; i < 10_000; i += 1) metrics.llm(call({ model: `invented-${i}` }));
    metrics.llm(call({ model: 'evil"} 1\nother{a="' }));
    const text = await metrics.text();
    const models = new Set(series(text, "agentkernel_llm_input_tokens_total").map((line) => /model="([^"]*)"/.exec(line)?.[1]));
    expect(models.size).toBe(201);
    expect(models).toContain("_other");
    expect(text).not.toContain("fake-");
    expect(text).not.toContain("evil");
    const total = series(text, "agentkernel_llm_input_tokens_total").reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    expect(total).toBe(10_501 * 100);
  });

  it("drops a removed sandbox's series and no other's", async () => {
    const metrics = createMetrics();
    metrics.llmStarted("web");
    metrics.exchange(exchange());
    metrics.exchange(exchange({ sandbox: "db" }));
    metrics.removeSandbox("web");
    const text = await metrics.text();
    expect(text).not.toContain('sandbox="web"');
    expect(text).toContain('sandbox="db"');
  });

  it("sets states that are gone to 0", async () => {
    const metrics = createMetrics();
    metrics.sandboxes({ running: 2 });
    metrics.sandboxes({ stopped: 1 });
    const text = await metrics.text();
    expect(series(text, "agentkernel_sandboxes")).toEqual([
      'agentkernel_sandboxes{state="running"} 0',
      'agentkernel_sandboxes{state="stopped"} 1',
    ]);
  });

  it("follows the naming rules of Prometheus", () => {
    const names = Object.values(METRICS).map((row) => row.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(35);
    for (const row of Object.values(METRICS)) {
      expect(`${PREFIX}${row.name}`).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(row.name.endsWith("_total"), row.name).toBe(row.kind === "counter");
      expect(row.help).toMatch(/^[A-Z].*\.$/);
      for (const label of row.labels) expect(label).toMatch(/^[a-z][a-z0-9_]*$/);
    }
  });

  it("never throws on what a hostile record may hold", async () => {
    const metrics = createMetrics();
    metrics.llm(call({ model: "\u0000", response_model: "x".repeat(5000), ttft_ms: Number.NaN, cost_usd: Number.POSITIVE_INFINITY }), {
      units: { "bad unit": -1 },
    });
    metrics.exchange(exchange({ rule: "a\nb", sandbox: "ü" }));
    metrics.apiRequest({ route: "/x?y", method: "G ET", status: 200, seconds: -1 });
    expect(await metrics.text()).not.toMatch(/NaN|Inf[^"]/);
  });
});
