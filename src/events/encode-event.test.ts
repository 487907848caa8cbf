import { describe, expect, it } from "vitest";
import type { Event } from "../schema/event.ts";
import { event as schema } from "../schema/event.ts";
import { completeEvent } from "./complete-event.ts";
import { durabilityOf } from "./durability.ts";
import { capStrings, encodeEvent, MAX_EVENT_BYTES } from "./encode-event.ts";

const NOW = Date.parse("2026-11-21T10:00:00.123Z");

function exec(command: readonly string[], fields: object = {}): Event {
  return completeEvent(
    {
      type: "sandbox.exec",
      actor: { kind: "user", user_id: "u" },
      outcome: "permit",
      operation: "launch",
      exec_id: "exe_1",
      command: [...command],
      ...fields,
    },
    NOW,
  );
}

describe("completeEvent", () => {
  it("adds id, version and time, and keeps what is given", () => {
    const made = exec(["true"]);
    expect(made).toMatchObject({
      schema_version: 1,
      timestamp: "2026-11-21T10:00:00.123Z",
      id: expect.stringMatching(/^evt_[0-9a-z]{24}$/),
    });
    expect(schema.parse(made)).toEqual(made);
    expect(exec(["true"], { id: "evt_mine", timestamp: "2020-01-01T00:00:00.000Z" })).toMatchObject({
      id: "evt_mine",
      timestamp: "2020-01-01T00:00:00.000Z",
    });
  });
});

describe("encodeEvent", () => {
  it("gives one line of plain JSON", () => {
    const event = exec(["printf", "a\nb\r\0\u001b[31m\u007f\u0085\u2028\u202e\ud800", "Grüße 🦀"]);
    const text = encodeEvent(event);
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\ud800-\udfff]/u);
    expect(JSON.parse(text)).toEqual(event);
  });

  it.each([
    ["one long string", exec(["x".repeat(1 << 20)])],
    ["many arguments", exec(Array.from({ length: 100_000 }, (_, index) => `argument ${index}`))],
    ["many long arguments", exec(Array.from({ length: 5000 }, () => "y".repeat(5000)))],
    ["bytes that escape to six", exec([String.fromCharCode(1).repeat(60_000), "\u202e".repeat(60_000)])],
    [
      "many labels",
      exec(["true"], {
        labels: Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`key ${index} ${"k".repeat(500)}`, "v".repeat(5000)])),
      }),
    ],
    ["large everything", exec(["z".repeat(90_000)], { reason: "r".repeat(90_000), cwd: "c".repeat(90_000), sandbox: "s".repeat(90_000) })],
  ])("caps %s, and what is left is still the event", (_, event) => {
    const text = encodeEvent(event);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_EVENT_BYTES);
    expect(JSON.parse(text)).toMatchObject({ id: event.id, type: event.type, timestamp: event.timestamp });
    expect(text).toContain("[+");
  });
});

describe("capStrings", () => {
  it("says how much is gone and cuts no character in half", () => {
    const caps = { maxString: 4, maxItems: 2 };
    expect(capStrings("abcd", caps)).toBe("abcd");
    expect(capStrings("abcdef", caps)).toBe("abcd…[+2]");
    expect(capStrings("abc🦀x", caps)).toBe("abc…[+3]");
    expect(capStrings([1, 2, 3, 4], caps)).toEqual([1, 2, "…[+2 items]"]);
    expect(capStrings({ a: null, b: true, c: { d: "abcdef" } }, caps)).toEqual({ a: null, b: true, c: { d: "abcd…[+2]" } });
  });
});

describe("durabilityOf", () => {
  const flow = { actor: { kind: "sandbox", user_id: "s" }, decision: "allow", outcome: "permit" } as const;
  it.each([
    ["an allowed exchange", { ...flow, type: "egress.exchange" }, "fast"],
    ["an allowed model call", { ...flow, type: "llm.call" }, "fast"],
    ["an allowed exchange that failed", { ...flow, type: "egress.exchange", outcome: "error" }, "fast"],
    ["a denied exchange", { ...flow, type: "egress.exchange", decision: "deny", outcome: "deny" }, "durable"],
    ["a denied model call", { ...flow, type: "llm.call", decision: "deny", outcome: "deny" }, "durable"],
    ["a denied connection", { ...flow, type: "egress.decision", decision: "deny", outcome: "deny" }, "durable"],
    ["a sandbox operation", { type: "sandbox.operation", outcome: "permit" }, "durable"],
    ["an exec", { type: "sandbox.exec", outcome: "permit" }, "durable"],
    ["an authentication", { type: "auth.attempt", outcome: "permit" }, "durable"],
    ["a change", { type: "admin.change", outcome: "permit" }, "durable"],
    ["a finding", { type: "security.finding", outcome: "info" }, "durable"],
  ] as const)("%s", (_, event, expected) => {
    expect(durabilityOf(event)).toBe(expected);
  });
});
