import { describe, expect, it } from "vitest";
import { MetricRegistry } from "./registry.ts";

function family(text: string, name: string): readonly string[] {
  return (
    text
      .split("\n\n")
      .find((part) => part.startsWith(`# HELP ${name} `))
      ?.split("\n") ?? []
  );
}

describe("the text exposition", () => {
  it("writes a histogram with cumulative buckets, sum and count", () => {
    const registry = new MetricRegistry();
    for (const seconds of [0.00005, 0.0003, 0.2, 9]) registry.observe("overhead", { phase: "request" }, seconds);
    expect(family(registry.text(), "agentkernel_proxy_overhead_seconds")).toEqual([
      "# HELP agentkernel_proxy_overhead_seconds Time that the gateway itself added.",
      "# TYPE agentkernel_proxy_overhead_seconds histogram",
      ...[
        [0.00005, 1],
        [0.0001, 1],
        [0.00025, 1],
        [0.0005, 2],
        [0.001, 2],
        [0.0025, 2],
        [0.005, 2],
        [0.01, 2],
        [0.025, 2],
        [0.05, 2],
        [0.1, 2],
        [0.25, 3],
        ["+Inf", 4],
      ].map(([bound, count]) => `agentkernel_proxy_overhead_seconds_bucket{le="${bound}",phase="request"} ${count}`),
      'agentkernel_proxy_overhead_seconds_sum{phase="request"} 9.20035',
      'agentkernel_proxy_overhead_seconds_count{phase="request"} 4',
    ]);
  });

  it("shows what has no labels from the start, and a labelled series once something was counted", () => {
    const registry = new MetricRegistry();
    registry.amount("requests", { sandbox: "web", decision: "allow", reason: "r", status_class: "2xx" });
    const text = registry.text();
    expect(family(text, "agentkernel_cert_minted_total")).toContain("agentkernel_cert_minted_total 0");
    expect(family(text, "agentkernel_requests_total")).toHaveLength(2);
    expect(text.endsWith("\n") && !text.endsWith("\n\n")).toBe(true);
  });

  it("escapes label values, and finds a value to remove only as a whole", () => {
    const registry = new MetricRegistry();
    for (const secret of ['a\\b\n"c', "web", "web2"]) registry.add("secretInjected", { secret, host: "web" });
    registry.removeWhere("secret", "web");
    expect(family(registry.text(), "agentkernel_secret_injected_total").slice(2)).toEqual([
      'agentkernel_secret_injected_total{secret="a\\\\b\\n\\"c",host="web"} 1',
      'agentkernel_secret_injected_total{secret="web2",host="web"} 1',
    ]);
  });

  it("does not let a counter go down, but a gauge", () => {
    const registry = new MetricRegistry();
    for (const amount of [2, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      registry.add("certMinted", {}, amount);
      registry.add("connections", {}, amount);
    }
    expect(registry.amount("certMinted", {}).value).toBe(2);
    expect(registry.amount("connections", {}).value).toBe(1);
  });
});
