import { expect, it } from "vitest";
import type { Event } from "../schema/event.ts";
import { isDenied } from "./tail.ts";

it("denied is what policy denied, and what it would have denied where it only observes", () => {
  const event = (over: object): Event => ({ type: "egress.exchange", decision: "allow", ...over }) as unknown as Event;
  expect(isDenied(event({ decision: "deny" }))).toBe(true);
  expect(isDenied(event({ observed: true }))).toBe(true);
  expect(isDenied(event({}))).toBe(false);
  expect(isDenied({ type: "audit.log", operation: "start" } as unknown as Event)).toBe(false);
});
