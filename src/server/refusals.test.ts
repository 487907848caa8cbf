import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuthEvent } from "../schema/event.ts";
import { RefusalRecorder } from "./refusals.ts";

const MINUTE = 60_000;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

function recorder() {
  const events: AuthEvent[] = [];
  const refusals = new RefusalRecorder({
    append: (event) => Promise.resolve(events.push(event as AuthEvent)),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
  });
  const refuse = (address: string, path = "/status"): void =>
    refusals.record(
      { method: "api_key", reason: "unknown key", actor: { kind: "api_key", user_id: "unknown", ip_address: address } },
      { transport: "tcp", path, requestId: "req_1" },
    );
  const all = (): number => events.reduce((sum, { count }) => sum + (count ?? 1), 0);
  return { refusals, events, refuse, all };
}

describe("what is recorded of callers that are refused", () => {
  it("is one event for each", () => {
    const { events, refuse } = recorder();
    for (let i = 0; i < 60; i += 1) refuse("192.0.2.1");
    expect(events).toHaveLength(60);
    expect(events[59]).toMatchObject({ outcome: "deny", reason: "unknown key", count: 1, path: "/status" });
  });

  it("is a sum for each address beyond 60 in a minute, although nobody is refused afterwards", () => {
    const { events, refuse, all } = recorder();
    for (let i = 0; i < 1_000; i += 1) refuse("192.0.2.1");
    for (let i = 0; i < 5; i += 1) refuse("192.0.2.2", `/${i}`);
    expect(events).toHaveLength(60);
    vi.advanceTimersByTime(MINUTE);
    expect(events.slice(60)).toMatchObject([
      { actor: { ip_address: "192.0.2.1" }, count: 940, reason: "unknown key (the last of 940 that were not recorded one by one)" },
      { actor: { ip_address: "192.0.2.2" }, count: 5, path: "/4" },
    ]);
    refuse("192.0.2.1");
    expect([events.length, all()]).toEqual([63, 1_006]);
  });

  it("loses nothing when the server ends", () => {
    const { refusals, events, refuse, all } = recorder();
    for (let i = 0; i < 100; i += 1) refuse("192.0.2.1");
    refusals[Symbol.dispose]();
    expect([events.length, all()]).toEqual([61, 100]);
  });

  it("is bounded, however many addresses there are", () => {
    const { refusals, events, refuse, all } = recorder();
    for (let i = 0; i < 10_000; i += 1) refuse(`2001:db8::${i.toString(16)}`);
    refusals[Symbol.dispose]();
    expect([events.length, all()]).toEqual([121, 10_000]);
  });
});
