import { expect, it } from "vitest";
import type { Event } from "../schema/event.ts";
import { eventLine } from "./event-line.ts";

const exchange = (over: object): Event =>
  ({
    type: "egress.exchange",
    timestamp: "2026-11-21T12:40:19.114Z",
    sandbox: "web",
    method: "GET",
    url: "https://a.example/x",
    status: 200,
    decision: "allow",
    rule: "default",
    reason: "No rule allows a.example.",
    ...over,
  }) as unknown as Event;

it("begins with a time that --since takes, and says why something was denied, or would have been", () => {
  expect(eventLine(exchange({}))).toBe("2026-11-21T12:40:19.114Z  web                 ALLOW GET https://a.example/x → 200 [default]");
  expect(eventLine(exchange({ decision: "deny", status: 403 }))).toMatch(/ DENY GET .* → 403 \[default\]: No rule allows a\.example\.$/);
  expect(eventLine(exchange({ observed: true }))).toMatch(/ OBSERVE GET .* → 200 \[default\]: No rule allows a\.example\.$/);
});

it("is one line, whatever a sandbox wrote", () => {
  expect(eventLine(exchange({ url: "https://a.example/\n2026 forged\u001b[2J" }))).not.toMatch(/\n|\u001b/);
});
