import { expect, test } from "vitest";
import { PROFILES } from "../../src/schema/profile.ts";
import { configFile } from "../../src/schema/config.ts";
import type { EgressSettings } from "../../src/schema/settings.ts";
import { compilePolicy } from "../../src/policy/compile.ts";
import { parseHost, type CanonicalHost } from "../../src/policy/host.ts";
import { policyInputFor } from "../../src/policy/policy-input.ts";

// where the effect of every other key, option and field is seen: test/conformance/matrix.test.ts

const host = (text: string): CanonicalHost => {
  const parsed = parseHost(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
};
const BASE: EgressSettings = { default: "deny", mode: "enforce", locked: false, unsafeAllowPrivate: false, rules: [], upstreams: [] };

/** Verdicts over everything that a field could change. */
function verdicts(over: Partial<EgressSettings>): string {
  const egress = { ...BASE, ...over };
  const parts = {
    ref: { id: "t", version: 1 },
    egress,
    profile: PROFILES.moderate,
    allow: [],
    secrets: [],
    ownAddresses: [],
    ownPorts: [],
  };
  const policies = [compilePolicy(policyInputFor(parts)), compilePolicy(policyInputFor({ ...parts, allow: ["caller.com"], isLive: true }))];
  const found: unknown[] = [];
  for (const policy of policies)
    for (const at of ["a.com", "caller.com", "other.com"])
      for (const port of [443, 8443])
        for (const line of [
          { method: "GET", path: "/x" },
          { method: "POST", path: "/y" },
        ]) {
          const { verdict, effect, observed } = policy.decide({ host: host(at), port, scheme: "https", ...line });
          found.push([verdict, effect, observed]);
        }
  found.push(policies[0]?.decideAddress(host("a.com"), "10.0.0.1", { port: 443 }).verdict);
  return JSON.stringify(found);
}

const rule = (over: object) => ({ rules: [{ host: "a.com", effect: "allow" as const, ...over }] });

/** Each documented field with two values that have to differ in what happens. Those of the last group have tests of their own. */
const FIELDS: Readonly<Record<string, readonly [Partial<EgressSettings>, Partial<EgressSettings>]>> = {
  default: [{}, { default: "allow" }],
  mode: [{}, { mode: "observe" }],
  locked: [rule({}), { ...rule({}), locked: true }],
  unsafe_allow_private: [{}, { unsafeAllowPrivate: true }],
  "rules.host": [rule({}), rule({ host: "other.com" })],
  "rules.ports": [rule({}), rule({ ports: [8443] })],
  "rules.methods": [rule({}), rule({ methods: ["GET"] })],
  "rules.paths": [rule({}), rule({ paths: ["/x"] })],
  "rules.effect": [rule({}), rule({ effect: "tunnel" })],
};
const ELSEWHERE: Readonly<Record<string, string>> = {
  ca_file: "test/integration/config-files.test.ts",
  upstreams: "test/integration/gateway-core.test.ts",
  upstream_proxy: "test/integration/gateway-proxy.test.ts",
};

test.each(Object.entries(FIELDS))("[egress] %s changes what happens", (_name, [one, other]) => {
  expect(verdicts(one)).not.toBe(verdicts(other));
});

test("every field of [egress] is examined", () => {
  const { egress } = configFile.shape;
  const fields = Object.keys(egress.unwrap().shape).filter((field) => field !== "rules");
  const rules = Object.keys(egress.unwrap().shape.rules.unwrap().element.shape).map((field) => `rules.${field}`);
  expect([...fields, ...rules].sort()).toEqual([...Object.keys(FIELDS), ...Object.keys(ELSEWHERE)].sort());
});
