import { describe, expect, it } from "vitest";
import type { Event } from "../../schema/event.ts";
import { fits, isFor } from "./hook-filter.ts";

const exchange = {
  type: "egress.exchange",
  decision: "allow",
  status: 200,
  host: "api.example.com",
  sandbox: "web",
  labels: { team: "core" },
};
const eventOf = (fields: object): Event => ({ ...exchange, ...fields }) as unknown as Event;

describe("a hook is for", () => {
  it.each([
    ["on_request", eventOf({ type: "egress.decision", phase: "request" }), true],
    ["on_request", eventOf({ type: "egress.decision" }), false],
    ["on_request", eventOf({}), false],
    ["on_response", eventOf({}), true],
    ["on_response", eventOf({ decision: "deny" }), true],
    ["on_response", eventOf({ type: "llm.call" }), true],
    ["on_response", eventOf({ type: "admin.change" }), false],
    ["on_deny", eventOf({}), false],
    ["on_deny", eventOf({ decision: "deny" }), true],
    ["on_deny", eventOf({ type: "egress.decision", decision: "deny" }), true],
    ["on_deny", eventOf({ type: "egress.decision", decision: "deny", phase: "request" }), false],
    ["on_llm", eventOf({ type: "llm.call" }), true],
    ["on_llm", eventOf({}), false],
    ["on_budget", eventOf({ type: "security.finding", finding: "budget_threshold", budget: { id: "day" } }), true],
    ["on_budget", eventOf({ type: "security.finding", finding: "secret_misplaced" }), false],
    ["on_budget", eventOf({ decision: "deny" }), false],
  ] as const)("%s: case %#", (event, one, expected) => {
    expect(isFor({ event }, one)).toBe(expected);
  });
});

describe("a filter fits", () => {
  it.each([
    [undefined, {}, true],
    [{ sandbox: "web" }, { sandbox: "web" }, true],
    [{ sandbox: "web" }, { sandbox: "web2" }, false],
    [{ label: "team=core" }, { labels: { team: "core" } }, true],
    [{ label: "team=core" }, { labels: { team: "cor" } }, false],
    [{ label: "toString=x" }, { labels: {} }, false],
    [{ label: "a=b=c" }, { labels: { a: "b=c" } }, true],
    [{ host: "*.Example.com" }, { host: "api.example.com" }, true],
    [{ host: "*.example.com" }, { host: "example.com" }, false],
    [{ host: "*.example.com" }, { host: "badexample.com" }, false],
    [{ host: "example.com" }, {}, false],
    [{ model: "gpt-4*" }, { model: "GPT-4o-mini" }, true],
    [{ model: "gpt.4o" }, { model: "gpt-4o" }, false],
    [{ model: "*" }, {}, false],
    [{ provider: "openai" }, { provider: "anthropic" }, false],
    [{ decision: "deny" }, { decision: "allow" }, false],
    [{ status: "2xx" }, { status: 204 }, true],
    [{ status: "2xx" }, { status: 404 }, false],
    [{ status: "none" }, { status: null }, true],
    [{ status: "none" }, {}, false],
    [{ host: "a.example", status: "2xx" }, { host: "a.example", status: 500 }, false],
  ] as const)("case %#", (filter, event, expected) => {
    expect(fits(filter as Parameters<typeof fits>[0], event)).toBe(expected);
  });
});
