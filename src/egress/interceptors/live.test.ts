import { describe, expect, it } from "vitest";
import type { LiveCall } from "../admission.ts";
import type { Exchange, Next } from "../exchange/exchange.ts";
import type { Runtime } from "../runtime.ts";
import { liveInterceptor } from "./live.ts";

function fixture(next: Next) {
  const live = new Set<string>();
  const gate = {
    begin: (call: LiveCall) => {
      live.add(call.id);
      return () => live.delete(call.id);
    },
  };
  const run = liveInterceptor({ gate } as unknown as Runtime)(next);
  const exchange = { id: "req_1", recognition: { provider: "openai" }, generation: { egress: { name: "box", labels: {} } } };
  return { live, run: () => run(exchange as unknown as Exchange) };
}

describe("live calls", () => {
  it("is live until the steps further in are over", async () => {
    const over = Promise.withResolvers<void>();
    const { live, run } = fixture(() => over.promise);
    const running = run();
    expect([...live]).toEqual(["req_1"]);
    over.resolve();
    await running;
    expect(live.size).toBe(0);
  });

  it.each<[string, Next]>([
    ["rejects", () => Promise.reject(new Error("a fault"))],
    [
      "throws before it gives a promise",
      () => {
        throw new Error("a fault");
      },
    ],
  ])("is over when a step further in %s", async (_how, next) => {
    const { live, run } = fixture(next);
    await expect(run()).rejects.toThrow("a fault");
    expect(live.size).toBe(0);
  });
});
