import { describe, expect, it } from "vitest";
import type { Actor, AuthEvent, NewEvent } from "../schema/event.ts";
import { AdmissionRecorder } from "./admissions.ts";

const MINUTE = 60_000;
const ci = (address = "127.0.0.1"): Actor => ({ kind: "api_key", user_id: "ci", ip_address: address });
const request = { transport: "tcp", path: "/status", requestId: "req_1" } as const;

function recorder(append?: (event: NewEvent) => Promise<unknown>) {
  let now = 0;
  const events: AuthEvent[] = [];
  const admissions = new AdmissionRecorder({
    append: append ?? ((event) => Promise.resolve(events.push(event as AuthEvent))),
    clock: { now: () => now, monotonic: () => now },
  });
  return {
    admissions,
    events,
    at: (ms: number): void => void (now = ms),
    record: (actor = ci()): void => admissions.record({ method: "api_key", actor }, request),
  };
}

describe("what is recorded of callers that are let in", () => {
  it("is one event for a session, with what was let in", () => {
    const { events, record } = recorder();
    for (let i = 0; i < 100; i += 1) record();
    expect(events).toEqual([
      { type: "auth.attempt", actor: ci(), outcome: "permit", method: "api_key", path: "/status", request_id: "req_1", count: 1 },
    ]);
  });

  it("tells credentials, addresses and ways in apart", () => {
    const { events, record, admissions } = recorder();
    record();
    record(ci("::1"));
    record({ ...ci(), user_id: "dev" });
    admissions.record({ method: "unix_socket", actor: { kind: "user", user_id: "ci" } }, { ...request, transport: "unix" });
    expect(events.map(({ actor, method }) => [method, actor.user_id, actor.ip_address])).toEqual([
      ["api_key", "ci", "127.0.0.1"],
      ["api_key", "ci", "::1"],
      ["api_key", "dev", "127.0.0.1"],
      ["unix_socket", "ci", undefined],
    ]);
  });

  it("begins anew after a quarter of an hour of silence, and says how many requests there were", () => {
    const { events, record, at } = recorder();
    for (const ms of [0, 10 * MINUTE, 24 * MINUTE, 38 * MINUTE]) {
      at(ms);
      record();
    }
    expect(events).toHaveLength(1);
    at(53 * MINUTE);
    record();
    expect(events.map(({ count }) => count)).toEqual([1, 4]);
  });

  it("begins anew every hour for a caller that never pauses", () => {
    const { events, record, at } = recorder();
    for (let minute = 0; minute <= 180; minute += 1) {
      at(minute * MINUTE);
      record();
    }
    expect(events.map(({ count }) => count)).toEqual([1, 60, 60, 60]);
  });

  it("shows the success that follows guesses at the same address, and not more than one a minute", () => {
    const { events, record, at, admissions } = recorder();
    record();
    record(ci("10.0.0.1"));
    for (let second = 1; second <= 120; second += 1) {
      at(second * 1000);
      admissions.refused({ kind: "api_key", user_id: "unknown", ip_address: "127.0.0.1" });
      record();
      record(ci("10.0.0.1"));
    }
    expect(events.map(({ actor, count }) => [actor.ip_address, count])).toEqual([
      ["127.0.0.1", 1],
      ["10.0.0.1", 1],
      ["127.0.0.1", 60],
      ["127.0.0.1", 60],
    ]);
  });

  it("is tried again with the next request when the log refused it", async () => {
    let tries = 0;
    const { record } = recorder(() => {
      tries += 1;
      return Promise.reject(new Error("disk"));
    });
    record();
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    record();
    expect(tries).toBe(2);
  });

  it("keeps a bounded number of callers, and forgets towards recording more", () => {
    const { events, record } = recorder();
    for (let i = 0; i < 1_001; i += 1) record(ci(`10.0.${i >> 8}.${i & 255}`));
    record(ci("10.0.0.0"));
    record(ci("10.0.3.232"));
    expect(events).toHaveLength(1_002);
  });
});
