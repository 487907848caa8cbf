import { describe, expect, it } from "vitest";
import { PROFILES } from "../schema/profile.ts";
import type { EgressSettings } from "../schema/settings.ts";
import { compilePolicy } from "./compile.ts";
import { explain } from "./explain.ts";
import { parseHost, type CanonicalHost } from "./host.ts";
import { policyInputFor, type PolicyParts } from "./policy-input.ts";

const egress: EgressSettings = { default: "deny", mode: "enforce", locked: false, unsafeAllowPrivate: false, rules: [], upstreams: [] };
const parts = (over: Partial<PolicyParts> = {}): PolicyParts => ({
  ref: { id: "gen_1", version: 1 },
  egress,
  profile: PROFILES.moderate,
  allow: [],
  secrets: [],
  ownAddresses: [],
  ownPorts: [],
  ...over,
});
const host = (text: string): CanonicalHost => {
  const parsed = parseHost(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
};
const verdict = (over: Partial<PolicyParts>, at: string, port = 443) =>
  compilePolicy(policyInputFor(parts(over))).decide({ host: host(at), port, scheme: "https" }).verdict;

describe("policyInputFor", () => {
  it("allows what was bound, configured, templated and asked for, and no host by itself", () => {
    const over: Partial<PolicyParts> = {
      egress: { ...egress, rules: [{ host: "*.example.com", effect: "allow" }] },
      allow: ["a.com", "b.com:8443"],
      templateAllow: ["t.com"],
      secrets: [{ name: "K", host: "api.openai.com", origin: "caller" }],
    };
    expect(["packages.example.com", "a.com", "t.com", "api.openai.com"].map((at) => verdict(over, at))).toEqual([
      "allow",
      "allow",
      "allow",
      "allow",
    ]);
    expect(verdict(over, "b.com", 8443)).toBe("allow");
    expect(["b.com", "example.com", "example.org", "api.anthropic.com"].map((at) => verdict(over, at))).toEqual([
      "deny",
      "deny",
      "deny",
      "deny",
    ]);
    expect(verdict(over, "api.openai.com", 80)).toBe("deny");
  });

  it("follows the profile and [egress].default", () => {
    const allow = { ...egress, default: "allow" } as const;
    expect(verdict({}, "example.com")).toBe("deny");
    expect(verdict({ egress: allow }, "example.com")).toBe("allow");
    expect(verdict({ profile: PROFILES.permissive }, "example.com")).toBe("allow");
    expect(verdict({ profile: PROFILES.restrictive, egress: allow }, "example.com")).toBe("deny");
    expect(policyInputFor(parts({ profile: PROFILES.restrictive })).default).toBe("none");
  });

  it("numbers the operator's rules as the file does", () => {
    const rules = [
      { host: "a.com", effect: "allow" },
      { host: "b.com", effect: "deny" },
    ] as const;
    expect(policyInputFor(parts({ egress: { ...egress, rules } })).rules.map(({ id, origin }) => `${id} ${origin}`)).toEqual([
      "egress.rules[0] operator",
      "egress.rules[1] operator",
    ]);
  });

  it("refuses by name what a locked configuration does not permit, and lets through what it does", () => {
    const locked = { ...egress, locked: true, rules: [{ host: "*.corp.com", effect: "allow" }] } as const;
    for (const allow of [["evil.com"], ["corp.com"], ["*.com.com"], ["x.corp.com:8443"], ["x.corp.com", "evil.com"]]) {
      expect(() => policyInputFor(parts({ egress: locked, allow })), allow.join()).toThrow(
        expect.objectContaining({ code: "POLICY_DENIED" }),
      );
    }
    expect(() => policyInputFor(parts({ egress: locked, secrets: [{ name: "K", host: "evil.com", origin: "caller" }] }))).toThrow(
      /secret:K evil\.com/,
    );
    expect(() => policyInputFor(parts({ egress: locked, templateAllow: ["evil.com"] }))).toThrow(/template evil\.com/);
    for (const allow of [["git.corp.com"], ["*.corp.com"], ["*.git.corp.com:443"]])
      expect(() => policyInputFor(parts({ egress: locked, allow }))).not.toThrow();
    expect(verdict({ egress: locked, profile: PROFILES.permissive }, "example.com")).toBe("deny");
  });

  it("refuses hosts and secrets of the caller where there is no network, not the operator's defaults", () => {
    const profile = PROFILES.restrictive;
    expect(() => policyInputFor(parts({ profile, allow: ["a.com"] }))).toThrow(
      expect.objectContaining({ code: "VALIDATION", message: expect.stringContaining("has no network") }),
    );
    expect(() => policyInputFor(parts({ profile, secrets: [{ name: "K", host: "a.com", origin: "caller" }] }))).toThrow(/has no network/);
    expect(() => policyInputFor(parts({ profile, secrets: [{ name: "K", host: "a.com", origin: "operator" }] }))).not.toThrow();
  });

  it("refuses a secret for a host whose TLS stays closed", () => {
    const tunnel = { ...egress, rules: [{ host: "*.pinned.com", effect: "tunnel" }] } as const;
    expect(() => policyInputFor(parts({ egress: tunnel, secrets: [{ name: "K", host: "api.pinned.com", origin: "caller" }] }))).toThrow(
      /could not be put in/,
    );
    expect(() => policyInputFor(parts({ egress: tunnel, secrets: [{ name: "K", host: "pinned.com", origin: "caller" }] }))).not.toThrow();
  });

  it("says whose mistake a bad rule is", () => {
    expect(() => policyInputFor(parts({ allow: ["*"] }))).toThrow(expect.objectContaining({ code: "VALIDATION" }));
    const rules = [{ host: "*", effect: "allow" }] as const;
    expect(() => compilePolicy(policyInputFor(parts({ egress: { ...egress, rules } })))).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("egress.rules[0]") }),
    );
  });

  it("explains a decision rule by rule", () => {
    const input = policyInputFor(
      parts({ egress: { ...egress, rules: [{ host: "a.com", methods: ["GET"], effect: "deny" }] }, allow: ["a.com", "b.com"] }),
    );
    const { decision, rules } = explain(input, { host: host("a.com"), port: 443, scheme: "https", method: "POST", path: "/" });
    expect(decision).toMatchObject({ verdict: "allow", rule: "--allow" });
    expect(rules.map(({ id, host: at, matched }) => `${id} ${at} ${matched}`)).toEqual([
      "egress.rules[0] a.com host",
      "--allow a.com request",
      "--allow b.com no",
    ]);
  });
});
