import { describe, expect, it } from "vitest";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

describe("sizes", () => {
  it.each([
    ["0B", 0],
    ["512MiB", 536_870_912],
    ["2GiB", 2_147_483_648],
    ["1.5KiB", 1536],
    ["1TiB", 1_099_511_627_776],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
    expect(parseSize(formatSize(bytes))).toBe(bytes);
  });

  it.each([
    [""],
    ["512"],
    ["512MB"],
    ["512mib"],
    ["-1MiB"],
    ["1 GiB"],
    ["1e3MiB"],
    ["GiB"],
    [".5GiB"],
    ["1,5GiB"],
    ["999999999999TiB"],
    ["1GiB\n"],
  ])("refuses %j", (text) => {
    expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: "VALIDATION" }));
  });

  it("writes the largest unit that divides it", () => {
    expect([0, 1, 1536, 2048, 3 * 1024 ** 3].map(formatSize)).toEqual(["0B", "1B", "1536B", "2KiB", "3GiB"]);
  });
});

describe("durations", () => {
  it.each([0, 1, 1500, 90_000, 7_200_000, 604_800_000])("writes %d ms as it reads them", (ms) => {
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  });
});
