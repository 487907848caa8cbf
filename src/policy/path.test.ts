import { describe, expect, it } from "vitest";
import { matchesPath, normalisePath, parsePathPattern } from "./path.ts";
import { cpuMs } from "../../test/support/cpu-time.ts";

describe("normalisePath", () => {
  it.each([
    ["/", "/"],
    ["*", "*"],
    ["/v1/chat", "/v1/chat"],
    ["/v1/", "/v1/"],
    ["/a%20b", "/a b"],
    ["/%76%31", "/v1"],
    ["/%E2%82%AC", "/€"],
    ["/a:b@c", "/a:b@c"],
    ["/..a/b..", "/..a/b.."],
    ["/...", "/..."],
    ["/100%25", "/100%"],
    ["/@scope/name", "/@scope/name"],
    // as Google's Live client writes it
    ["//ws/google.ai.generativelanguage.v1beta.S.BidiGenerateContent", "/ws/google.ai.generativelanguage.v1beta.S.BidiGenerateContent"],
  ])("decodes %j once", (raw, path) => {
    expect(normalisePath(raw)).toEqual({ kind: "path", path });
  });

  it.each([
    ["/@scope%2fname"],
    ["/a%2Fb"],
    ["/a//b"],
    ["/a/" + "/"],
    ["/a;v=1/b"],
    ["/a%3bb"],
    ["/a%"],
    ["/a%zz"],
    ["/%ff"],
    ["/%c0%af"],
    ["/%2561"],
    ["/%252e%252e/x"],
  ])("calls %j ambiguous", (raw) => {
    expect(normalisePath(raw).kind).toBe("ambiguous");
  });

  it.each([
    [""],
    ["a"],
    ["//evil.com/"],
    ["//"],
    ["//ws/other"],
    ["//ws/googlex"],
    ["///ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"],
    ["//ws/google.ai/../../v1/files"],
    ["//WS/google.ai"],
    ["/../a"],
    ["/a/.."],
    ["/a/./b"],
    ["/."],
    ["/%2e%2e/a"],
    ["/a/%2E./b"],
    ["/.%2e"],
    ["/a/..;/b"],
    ["/a\\b"],
    ["/a%5cb"],
    ["/a%00"],
    ["/a%0d%0aX: y"],
    ["/a\0"],
    ["/a b"],
    ["/a\n"],
    ["/a#b"],
    ["/a?b"],
    ["/é"],
    ["/%7f"],
    [`/${"a".repeat(40_000)}`],
    ["http://a.com/"],
    ["**"],
  ])("calls %j invalid", (raw) => {
    expect(normalisePath(raw).kind).toBe("invalid");
  });
});

describe("path patterns", () => {
  it.each([
    ["/v1/**", "/v1/chat/completions", true],
    ["/v1/**", "/v1/", true],
    ["/v1/**", "/v1", true],
    ["/v1/**", "/v10", false],
    ["/v1/**", "/v2/v1/a", false],
    ["/**", "/", true],
    ["/**", "/a/b", true],
    ["/", "/", true],
    ["/", "/a", false],
    ["/v1/*", "/v1/a", true],
    ["/v1/*", "/v1/a/b", false],
    ["/v1/*", "/v1", false],
    ["/v1/models/*:generate", "/v1/models/gemini-pro:generate", true],
    ["/v1/models/*:generate", "/v1/models/a/b:generate", false],
    ["/v1/models/*:generate", "/v1/models/a:generateX", false],
    ["/**/end", "/end", true],
    ["/**/end", "/a/b/end", true],
    ["/**/end", "/a/b/end/c", false],
    ["/a/**/b/**/c", "/a/x/b/y/z/c", true],
    ["/a/**/b/**/c", "/a/x/y/c", false],
    ["/*a*b*", "/xxaxxbxx", true],
    ["/*a*b*", "/xxbxxaxx", false],
    ["/A", "/a", false],
    ["/a", "*", false],
    ["/**", "*", false],
  ])("%s against %s is %s", (source, path, expected) => {
    const pattern = parsePathPattern(source);
    if ("kind" in pattern) throw new Error(pattern.reason);
    expect(matchesPath(pattern, path)).toBe(expected);
  });

  it.each([
    ["v1"],
    [""],
    ["/a/../b"],
    ["/."],
    ["/a//b"],
    ["/a**"],
    ["/**b"],
    ["/a?x"],
    ["/a%20"],
    ["/a b"],
    ["/a#"],
    ["/a\\b"],
    ["/a\n"],
    [`/${"a".repeat(2000)}`],
  ])("refuses %j", (source) => {
    expect(parsePathPattern(source)).toMatchObject({ kind: "invalid" });
  });

  it("does not slow down exponentially", () => {
    const segments = parsePathPattern(`/${"**/a/".repeat(60)}b`);
    const stars = parsePathPattern(`/${"*a".repeat(300)}b`);
    if ("kind" in segments || "kind" in stars) throw new Error("refused");
    const spent = cpuMs(() => {
      expect(matchesPath(segments, `/${"a/".repeat(2000)}c`)).toBe(false);
      expect(matchesPath(stars, `/${"a".repeat(5000)}c`)).toBe(false);
    });
    expect(spent).toBeLessThan(2000);
  });
});
