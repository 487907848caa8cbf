import { describe, expect, test } from "vitest";
import { type Figure, isMet, percentiles } from "./figures.ts";

const figure: Figure = { section: "s", name: "n", unit: "requests/s", ours: { value: 100 }, samples: 1, how: "" };

describe("figures", () => {
  test("percentiles are measured values by nearest rank", () => {
    const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(percentiles(samples, 50, 95, 99, 100)).toEqual({ p50: 50, p95: 95, p99: 99, p100: 100 });
    expect(percentiles([7], 1, 99)).toEqual({ p1: 7, p99: 7 });
    expect(() => percentiles([], 50)).toThrow("nothing was measured");
  });

  test("a target is met, missed, or cannot be judged", () => {
    expect(isMet(figure)).toBeUndefined();
    expect(isMet({ ...figure, target: { of: "value", atMost: 100 } })).toBe(true);
    expect(isMet({ ...figure, target: { of: "value", atMost: 99 } })).toBe(false);
    expect(isMet({ ...figure, target: { of: "value", atLeast: 101 } })).toBe(false);
    const against = (peer: NonNullable<Figure["peers"]>[number]) =>
      isMet({ ...figure, target: { of: "value", times: { peer: "mockttp", factor: 3 } }, peers: [peer] });
    expect(against({ name: "mockttp 4", values: { value: 33 } })).toBe(true);
    expect(against({ name: "mockttp 4", values: { value: 34 } })).toBe(false);
    expect(against({ name: "mockttp 4", absent: "not installed" })).toBeUndefined();
  });
});
