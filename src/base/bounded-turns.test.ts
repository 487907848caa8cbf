import { describe, expect, it } from "vitest";
import { BoundedTurns } from "./bounded-turns.ts";

describe("BoundedTurns", () => {
  it("lets work of one key run one after another, and of another key beside it", async () => {
    const turns = new BoundedTurns(60_000);
    const order: string[] = [];
    const first = Promise.withResolvers<void>();
    const running = [
      turns.run("a", async () => {
        await first.promise;
        order.push("a1");
      }),
      turns.run("a", async () => void order.push("a2")),
      turns.run("b", async () => void order.push("b")),
    ];
    await running[2];
    expect(order).toEqual(["b"]);
    first.resolve();
    expect(await Promise.all(running)).toEqual(["done", "done", "done"]);
    expect(order).toEqual(["b", "a1", "a2"]);
  });

  it("turns those away who waited too long, and lets nobody overtake because of it", async () => {
    const turns = new BoundedTurns(20);
    const first = Promise.withResolvers<void>();
    const order: string[] = [];
    const a1 = turns.run("a", () => first.promise);
    expect(await turns.run("a", async () => void order.push("a2"))).toBe("busy");
    // whoever comes now does not take the place of the one that was turned away
    expect(await turns.run("a", async () => void order.push("a3"))).toBe("busy");
    expect(order).toEqual([]);
    first.resolve();
    expect(await a1).toBe("done");
    expect(await turns.run("a", async () => void order.push("a4"))).toBe("done");
    expect(order).toEqual(["a4"]);
  });

  it("goes on after work that failed", async () => {
    const turns = new BoundedTurns(60_000);
    const failing = turns.run("a", () => Promise.reject(new Error("no")));
    const next = turns.run("a", async () => undefined);
    await expect(failing).rejects.toThrow("no");
    expect(await next).toBe("done");
  });
});
