import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { llmCall } from "../support/llm-event.ts";
import { requires } from "../support/requires.ts";

describe("Prometheus' own checker", requires("promtool"), () => {
  it("finds nothing to complain about, with values in every kind of series", async () => {
    const metrics = createMetrics();
    metrics.llm(llmCall({ cache_write_tokens: 9 }), { units: { web_searches: 1 }, cacheWrites: { "1h": 4 }, perOutputChunkSeconds: 0.02 });
    metrics.delivery.attempt("hook@siem", "delivered", 0.1);
    metrics.delivery.gauges("hook@siem", { lag: 3, oldestSeconds: 1, isFailing: false, isPaused: false });
    metrics.llm(llmCall({ model: 'a"}\n# HELP x', cost_usd: null }));
    metrics.budget({ id: "all", scope: "label:team=red", unit: "usd", limit: 20, used: 1.5, reserved: 0 });
    metrics.budgetDenied("model:gpt-*", "exceeded");
    metrics.sandboxStarted({ backend: "bubblewrap", seconds: 1 });
    metrics.execEnded({ backend: "bubblewrap", outcome: "exit", seconds: 1 });
    metrics.eventsFsync(0.01, 3);
    metrics.apiRequest({ route: "/llm/usage", method: "GET", status: 200, seconds: 0.1 });
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: await metrics.text(), timeout: 10_000 });
    expect([status, stdout.toString(), stderr.toString()]).toEqual([0, "", ""]);
  });
});
