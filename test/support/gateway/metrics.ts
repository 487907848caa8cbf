import type { Metrics } from "../../../src/metrics/metrics.ts";

export type CountingMetrics = Metrics & { count(name: string): number };

/** Counts calls by method and does nothing else. */
export function countingMetrics(): CountingMetrics {
  const counts = new Map<string, number>();
  return new Proxy({} as CountingMetrics, {
    get: (_target, name) => {
      if (name === "then") return undefined;
      if (name === "count") return (method: string) => counts.get(method) ?? 0;
      if (name === "contentType") return "text/plain";
      return () => {
        counts.set(String(name), (counts.get(String(name)) ?? 0) + 1);
        return undefined;
      };
    },
  });
}
