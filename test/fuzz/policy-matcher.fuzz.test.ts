import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePolicy } from "../../src/policy/compile.ts";
import { parseHost } from "../../src/policy/host.ts";
import { coversPattern, matchesHost, parseHostPattern, patternsOverlap, type HostPattern } from "../../src/policy/host-pattern.ts";
import type { PolicyInput, RuleInput } from "../../src/policy/policy.ts";
import { fuzz } from "../support/fuzz.ts";

/** Few labels, so that names and suffixes meet often. */
const label = fc.constantFrom("a", "b", "aa", "com", "net");
const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."));
const pattern = fc.oneof(
  name,
  fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => `*.${labels.join(".")}`),
);
const list = <T>(item: fc.Arbitrary<T>) => fc.option(fc.array(item, { maxLength: 2 }), { nil: undefined });
const method = fc.constantFrom("GET", "POST");
const path = fc.constantFrom("/", "/v1", "/v1/a", "/v1/a/b", "/v2");
const rules = fc.array(
  fc.record({
    host: pattern,
    ports: list(fc.constantFrom(80, 443, 8443)),
    methods: list(method),
    paths: list(fc.constantFrom("/", "/v1", "/v1/*", "/v1/**", "/**")),
    effect: fc.constantFrom("allow" as const, "deny" as const),
    origin: fc.constantFrom("operator" as const, "caller" as const),
  }),
  { maxLength: 6 },
);

/** The reference: labels compared one by one from the right, rules one by one from the top, paths by a plain translation. */
function slowHost(text: string, host: string): boolean {
  const wanted = text.split(".").reverse();
  const given = host.split(".").reverse();
  if (wanted.at(-1) === "*") {
    wanted.pop();
    return given.length > wanted.length && wanted.every((part, at) => part === given[at]);
  }
  return wanted.length === given.length && wanted.every((part, at) => part === given[at]);
}
const SLOW_PATHS: Readonly<Record<string, RegExp>> = {
  "/": /^\/$/,
  "/v1": /^\/v1$/,
  "/v1/*": /^\/v1\/[^/]*$/,
  "/v1/**": /^\/v1(?:\/.*)?$/,
  "/**": /^\/.*$/,
};

function slowDecide(input: PolicyInput, host: string, port: number, verb: string, at: string): "allow" | "deny" {
  const hits = input.rules.filter(
    (rule) =>
      slowHost(rule.host, host) &&
      (rule.ports ?? (rule.effect === "deny" ? [port] : [80, 443])).includes(port) &&
      (rule.methods === undefined || rule.methods.includes(verb)) &&
      (rule.paths === undefined || rule.paths.some((source) => SLOW_PATHS[source]?.test(at) === true)),
  );
  if (input.default === "none" || hits.some((rule) => rule.effect === "deny")) return "deny";
  if (input.locked) return hits.some((rule) => rule.origin === "operator") ? "allow" : "deny";
  if (hits.length > 0) return "allow";
  // a rule that names the host has said what it allows there, so the public default does not widen it again
  const isNamed = input.rules.some(
    (rule) => rule.effect === "allow" && slowHost(rule.host, host) && (rule.ports ?? [80, 443]).includes(port),
  );
  return input.default === "public" && !isNamed ? "allow" : "deny";
}

describe("the matcher", () => {
  it("decides as the slow reference does", async () => {
    const seen = { allow: 0, deny: 0 };
    const total = await fuzz(
      fc.property(
        rules,
        name,
        fc.constantFrom(80, 443, 8443),
        method,
        path,
        fc.constantFrom("deny" as const, "public" as const, "none" as const),
        fc.boolean(),
        (some, at, port, verb, where, by, locked) => {
          const input: PolicyInput = {
            ref: { id: "g", version: 1 },
            default: by,
            mode: "enforce",
            locked,
            ownAddresses: [],
            ownPorts: [],
            unsafeAllowPrivate: false,
            rules: some.map((entry, index): RuleInput => {
              const { ports, methods, paths, ...rest } = entry;
              return { id: `r${index}`, ...rest, ...(ports && { ports }), ...(methods && { methods }), ...(paths && { paths }) };
            }),
          };
          const host = parseHost(at);
          if (host.kind === "invalid") throw new Error(host.reason);
          const { verdict } = compilePolicy(input).decide({ host, port, scheme: "https", method: verb, path: where });
          seen[verdict] += 1;
          expect(verdict).toBe(slowDecide(input, at, port, verb, where));
        },
      ),
      { runs: 5000 },
    );
    // a reference that only ever saw one answer would prove nothing
    expect(Math.min(seen.allow, seen.deny)).toBeGreaterThan(total / 10);
  });

  it("covers and overlaps exactly where hosts say so", async () => {
    await fuzz(
      fc.property(pattern, pattern, name, (a, b, at) => {
        const [left, right] = [read(a), read(b)];
        const host = parseHost(at);
        if (host.kind === "invalid") throw new Error(host.reason);
        const inLeft = matchesHost(left, host);
        const inRight = matchesHost(right, host);
        if (coversPattern(left, right) && inRight) expect(inLeft).toBe(true);
        if (inLeft && inRight) expect(patternsOverlap(left, right)).toBe(true);
        if (patternsOverlap(left, right)) expect(patternsOverlap(right, left)).toBe(true);
      }),
      { runs: 5000 },
    );
  });
});

function read(text: string): HostPattern {
  const parsed = parseHostPattern(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
}
