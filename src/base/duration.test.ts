import { describe, expect, it } from "vitest";
import { parseDuration, parseSince } from "./duration.ts";

describe("parseDuration", () => {
  it.each([
    ["90s", 90_000],
    ["15m", 900_000],
    ["2h", 7_200_000],
    ["7d", 604_800_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["20ms", 20],
    ["0s", 0],
  ])("reads %s", (text, ms) => expect(parseDuration(text)).toBe(ms));
  it.each(["", "1", "h", "-1h", "1h ", "1w", "1e3s", "999999999d"])("refuses %j", (text) =>
    expect(() => parseDuration(text)).toThrowError(expect.objectContaining({ code: "VALIDATION" })),
  );
});

describe("parseSince", () => {
  it("counts a duration back from now", () => expect(parseSince("1h", 10_000_000)).toBe(10_000_000 - 3_600_000));
  it("takes a time", () => expect(parseSince("2026-01-31T12:00:00Z", 0)).toBe(Date.UTC(2026, 0, 31, 12)));
  it("refuses a time that is none", () => expect(() => parseSince("2026-99-99", 0)).toThrowError(/not a time/));
});
