import { describe, expect, it } from "vitest";
import { parseAllow } from "./allow.ts";

const from = { id: "--allow", origin: "caller" } as const;

describe("parseAllow", () => {
  it.each([
    ["a.com", { host: "a.com" }],
    ["A.com.", { host: "a.com" }],
    ["a.com:8443", { host: "a.com", ports: [8443] }],
    ["*.a.com", { host: "*.a.com" }],
    ["*.a.com:81", { host: "*.a.com", ports: [81] }],
    ["1.2.3.4:81", { host: "1.2.3.4", ports: [81] }],
    ["[2001:db8::1]:81", { host: "2001:db8::1", ports: [81] }],
    ["2001:db8:0::1", { host: "2001:db8::1" }],
  ])("reads %j", (text, expected) => {
    expect(parseAllow(text, from)).toEqual({ ...from, effect: "allow", ...expected });
  });

  it.each([
    ["", /empty/],
    ["*", /wildcard/],
    ["*.com", /top-level/],
    ["https://a.com", /URL/],
    ["https://a.com/v1", /URL/],
    ["a.com/v1", /URL/],
    ["a.com:", /port/],
    ["a.com:http", /port/],
    ["a.com:0", /port/],
    ["user@a.com", /user/],
    ["127.1", /four decimal/],
    ["[::1", /bracket/],
    ["a\nb", /control/],
  ])("refuses %j in one line", (text, message) => {
    expect(() => parseAllow(text, from)).toThrow(message);
    expect(() => parseAllow(text, from)).toThrow(
      expect.objectContaining({ code: "VALIDATION", message: expect.not.stringContaining("\n") }),
    );
  });
});
