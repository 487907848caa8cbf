import { describe, expect, it } from "vitest";
import type { Clock } from "../base/clock.ts";
import { type Attempt, IdempotencyStore } from "./idempotency.ts";

let now = 0;
const clock: Clock = { now: () => now, monotonic: () => now };
const key = (name: string, body = "{}", caller = "user:a") => ({ caller, route: "POST /run", key: name, body });
const done = (text: string): Attempt => ({ kind: "answer", answer: { status: 200, text } });

describe("IdempotencyStore", () => {
  it("gives the first answer again, per caller and route", async () => {
    const store = new IdempotencyStore(clock);
    let runs = 0;
    const attempt = async (): Promise<Attempt> => done(String(++runs));
    expect(await store.run(key("k"), attempt)).toMatchObject({ kind: "answer", answer: { text: "1" } });
    expect(await store.run(key("k"), attempt)).toMatchObject({ kind: "replay", answer: { text: "1" } });
    expect(await store.run(key("k", "{}", "user:b"), attempt)).toMatchObject({ kind: "answer", answer: { text: "2" } });
    expect(await store.run({ ...key("k"), route: "POST /secrets" }, attempt)).toMatchObject({ answer: { text: "3" } });
  });

  it("refuses another body, also while the first is under way", async () => {
    const store = new IdempotencyStore(clock);
    const first = Promise.withResolvers<Attempt>();
    const running = store.run(key("k"), () => first.promise);
    await expect(store.run(key("k", "other"), async () => done("2"))).rejects.toMatchObject({ code: "CONFLICT" });
    first.resolve(done("1"));
    await running;
    await expect(store.run(key("k", "other"), async () => done("2"))).rejects.toMatchObject({ code: "CONFLICT" });
  });

  it("lets one who waits try itself when the first failed", async () => {
    const store = new IdempotencyStore(clock);
    const first = Promise.withResolvers<Attempt>();
    const running = store.run(key("k"), () => first.promise);
    const second = store.run(key("k"), async () => done("2"));
    first.reject(new Error("gone"));
    await expect(running).rejects.toThrow("gone");
    expect(await second).toMatchObject({ kind: "answer", answer: { text: "2" } });
  });

  it("keeps no answer that may differ the next time", async () => {
    const store = new IdempotencyStore(clock);
    await store.run(key("k"), async () => ({ kind: "retryable", answer: { status: 503, text: "" } }));
    expect(await store.run(key("k"), async () => done("2"))).toMatchObject({ kind: "answer" });
  });

  it("says so when the answer cannot be given again", async () => {
    const store = new IdempotencyStore(clock, { bytesEach: 3 });
    await store.run(key("large"), async () => done("12345"));
    await expect(store.run(key("large"), async () => done("x"))).rejects.toMatchObject({ code: "CONFLICT" });
    await store.run(key("stream"), async () => ({ kind: "response", response: new Response("x") }));
    await expect(store.run(key("stream"), async () => done("x"))).rejects.toMatchObject({ code: "CONFLICT" });
  });

  it("forgets the oldest beyond its bounds, and everything after its time", async () => {
    const store = new IdempotencyStore(clock, { entries: 2, bytes: 10, ttlMs: 1_000 });
    const ask = async (name: string, text = "x"): Promise<string> => (await store.run(key(name), async () => done(text))).kind;
    expect([await ask("a"), await ask("b"), await ask("c"), await ask("b"), await ask("a")]).toEqual([
      "answer",
      "answer",
      "answer",
      "replay",
      "answer",
    ]);
    await ask("d", "123456789");
    await ask("e", "123456789");
    expect(await ask("d")).toBe("answer");
    now += 2_000;
    expect(await ask("e")).toBe("answer");
  });

  it("refuses more under way than it may hold", async () => {
    const store = new IdempotencyStore(clock, { entries: 1 });
    const first = Promise.withResolvers<Attempt>();
    const running = store.run(key("a"), () => first.promise);
    await expect(store.run(key("b"), async () => done("x"))).rejects.toMatchObject({ code: "LIMIT_EXCEEDED" });
    first.resolve(done("1"));
    await running;
  });

  it.each(["", " ", "a b", "ü", "x".repeat(256)])("refuses the key %j", async (name) => {
    await expect(new IdempotencyStore(clock).run(key(name), async () => done("x"))).rejects.toMatchObject({ code: "VALIDATION" });
  });
});
