import { describe, expect, it } from "vitest";
import { AppError } from "../base/error.ts";
import { compilePolicy } from "./compile.ts";
import { parseHost, type CanonicalHost } from "./host.ts";
import type { PolicyInput, RuleInput } from "./policy.ts";

const host = (text: string): CanonicalHost => {
  const parsed = parseHost(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return parsed;
};
const rule = (text: string, over: Partial<RuleInput> = {}): RuleInput => ({
  id: `rule ${text}`,
  host: text,
  effect: "allow",
  origin: "caller",
  ...over,
});
const input = (over: Partial<PolicyInput> = {}): PolicyInput => ({
  ref: { id: "gen_1", name: "moderate", version: 3 },
  default: "deny",
  mode: "enforce",
  locked: false,
  rules: [],
  ownAddresses: [],
  ownPorts: [],
  unsafeAllowPrivate: false,
  ...over,
});
const decide = (over: Partial<PolicyInput>, at: string, port = 443, line: { method?: string; path?: string } = {}) =>
  compilePolicy(input(over)).decide({ host: host(at), port, scheme: port === 80 ? "http" : "https", ...line });

describe("decide", () => {
  it("denies by default, names the default and the command that would allow it", () => {
    expect(decide({}, "example.com")).toEqual({
      verdict: "deny",
      rule: "default",
      reason: "No rule allows example.com.",
      hint: "agentkernel run --allow example.com …",
      policy: { id: "gen_1", name: "moderate", version: 3 },
    });
    expect(decide({}, "example.com", 8443).hint).toBe("agentkernel run --allow example.com:8443 …");
    expect(decide({}, "2606:4700::1111", 8443).hint).toBe("agentkernel run --allow [2606:4700::1111]:8443 …");
  });

  it("names no command that would not help: an address that no rule opens", () => {
    for (const at of ["169.254.169.254", "10.0.0.1", "0.0.0.0", "::ffff:10.0.0.1", "100.100.100.200"]) {
      const denied = decide({}, at, 80);
      expect(denied).toMatchObject({
        verdict: "deny",
        rule: "default",
        reason: expect.stringMatching(/nor could one: .* may not reach/) as string,
      });
      expect(denied.hint, at).toBeUndefined();
    }
    expect(decide({ unsafeAllowPrivate: true }, "10.0.0.1").hint).toBe("agentkernel run --allow 10.0.0.1 …");
    expect(decide({}, "127.0.0.1", 8080).hint).toBe("agentkernel run --allow-host-port 8080 …, and inside host.agentkernel.internal:8080");
    expect(decide({ ownPorts: [18888] }, "127.0.0.1", 18888).hint).toBeUndefined();
  });

  it("names the command for a sandbox that keeps running, and none where a command would not help", () => {
    expect(decide({ sandbox: "web" }, "example.com").hint).toBe("agentkernel policy allow example.com --sandbox web");
    expect(decide({ sandbox: "web" }, "example.com", 8443).hint).toBe("agentkernel policy allow example.com:8443 --sandbox web");
    const api = { rules: [rule("a.com", { effect: "deny", origin: "api", id: "api.rules[4]" })], sandbox: "web" };
    expect(decide(api, "a.com")).toMatchObject({ rule: "api.rules[4]", hint: "agentkernel policy allow a.com --sandbox web" });
    expect(decide({ default: "none", sandbox: "web" }, "a.com").hint).toBeUndefined();
    const undo = (over: Partial<RuleInput>, at = "a.com", port = 443) =>
      decide({ rules: [rule("a.com", { effect: "deny", origin: "api", id: "api.rules[4]", ...over })], sandbox: "web" }, at, port).hint;
    expect(undo({ isForAll: true })).toBe("agentkernel policy allow a.com");
    expect(undo({ isForAll: true, ports: [443] })).toBe("agentkernel policy allow a.com:443");
    expect(undo({ isForAll: true }, "a.com", 8443)).toBe("agentkernel policy allow a.com:8443");
    expect(undo({ ports: [443, 8443] })).toBe("agentkernel policy rm api.rules[4]");
    expect(undo({ host: "*.a.com" }, "x.a.com")).toBe("agentkernel policy rm api.rules[4]");
  });

  it("keeps rules of the API inside what the operator permits", () => {
    const api = rule("a.com", { origin: "api" });
    expect(decide({ rules: [api] }, "a.com").verdict).toBe("allow");
    expect(decide({ rules: [api], locked: true }, "a.com").verdict).toBe("deny");
    expect(decide({ rules: [api, rule("*.com.invalid"), rule("a.com", { effect: "deny", origin: "operator" })] }, "a.com").verdict).toBe(
      "deny",
    );
    expect(() => decide({ rules: [rule("a.com", { origin: "api", effect: "tunnel" })] }, "a.com")).toThrowError(
      expect.objectContaining({ code: "VALIDATION" }),
    );
  });

  it("tells an absent list, an empty one and one with entries apart", () => {
    const some = (lists: Partial<RuleInput>) =>
      decide({ rules: [rule("a.com", lists)] }, "a.com", 443, { method: "GET", path: "/x" }).verdict;
    expect([some({}), some({ methods: [] }), some({ methods: ["GET"] }), some({ methods: ["POST"] })]).toEqual([
      "allow",
      "deny",
      "allow",
      "deny",
    ]);
    expect([some({ paths: [] }), some({ paths: ["/x"] }), some({ paths: ["/y"] })]).toEqual(["deny", "allow", "deny"]);
    expect([some({ ports: [] }), some({ ports: [443] }), some({ ports: [80] })]).toEqual(["deny", "allow", "deny"]);
    expect(decide({ rules: [] }, "a.com").verdict).toBe("deny");
    expect(decide({ rules: [], default: "public" }, "a.com").verdict).toBe("allow");
  });

  it.each([
    ["*.allowed.com", "x.allowed.com", "allow"],
    ["*.allowed.com", "x.y.allowed.com", "allow"],
    ["*.allowed.com", "allowed.com", "deny"],
    ["*.allowed.com", "notallowed.com", "deny"],
    ["*.allowed.com", "evilallowed.com", "deny"],
    ["*.allowed.com", "x.allowed.com.evil.com", "deny"],
    ["allowed.com", "x.allowed.com", "deny"],
    ["allowed.com", "ALLOWED.com.", "allow"],
    ["ALLOWED.com.", "allowed.com", "allow"],
    ["1.2.3.4", "1.2.3.4", "allow"],
    ["[2001:db8:0::1]", "2001:db8::1", "allow"],
    ["*.2.3.com", "1.2.3.com", "allow"],
    ["münchen.de", "xn--mnchen-3ya.de", "allow"],
  ])("%s on %s: %s", (pattern, at, verdict) => {
    expect(decide({ rules: [rule(pattern)] }, at).verdict).toBe(verdict);
  });

  it("lets deny beat allow, whoever wrote either and in whatever order", () => {
    for (const origin of ["operator", "caller", "template", "profile"] as const) {
      const rules = [rule("*.a.com", { origin: "operator" }), rule("bad.a.com", { effect: "deny", origin, id: "no" })];
      expect(decide({ rules }, "bad.a.com")).toMatchObject({ verdict: "deny", rule: "no" });
      expect(decide({ rules: rules.toReversed() }, "bad.a.com")).toMatchObject({ verdict: "deny", rule: "no" });
      expect(decide({ rules, default: "public" }, "bad.a.com")).toMatchObject({ verdict: "deny", rule: "no" });
      expect(decide({ rules }, "good.a.com").verdict).toBe("allow");
    }
  });

  it("gives no command where the operator decided", () => {
    const denied = decide({ rules: [rule("a.com", { effect: "deny", origin: "operator" })] }, "a.com");
    expect(denied.hint).toBeUndefined();
    expect(decide({ locked: true, rules: [rule("a.com")] }, "a.com").hint).toBeUndefined();
  });

  it("keeps everybody inside a locked operator's list, the default included", () => {
    const rules = [
      rule("*.corp.com", { origin: "operator", id: "op" }),
      rule("evil.com", { origin: "caller" }),
      rule("git.corp.com", { origin: "template", id: "template" }),
    ];
    expect(decide({ locked: true, rules }, "evil.com")).toMatchObject({ verdict: "deny", rule: "egress.locked" });
    expect(decide({ locked: true, rules, default: "public" }, "other.com")).toMatchObject({ verdict: "deny", rule: "egress.locked" });
    expect(decide({ locked: true, rules }, "git.corp.com")).toMatchObject({ verdict: "allow", rule: "op" });
    expect(decide({ locked: true, rules: [] }, "a.com").verdict).toBe("deny");
    const narrow = [rule("api.corp.com", { origin: "operator", id: "op", methods: ["GET"] }), rule("api.corp.com")];
    expect(decide({ locked: true, rules: narrow }, "api.corp.com", 443, { method: "DELETE", path: "/" })).toMatchObject({
      verdict: "deny",
      rule: "op",
    });
  });

  it("judges a connection by what could follow and each request by itself", () => {
    const rules = [
      rule("a.com", { paths: ["/v1/**"], methods: ["post"] }),
      rule("a.com", { effect: "deny", id: "no", paths: ["/v1/files/**"] }),
    ];
    expect(decide({ rules }, "a.com").verdict).toBe("allow");
    expect(decide({ rules }, "a.com", 443, { method: "POST", path: "/v1/chat" }).verdict).toBe("allow");
    expect(decide({ rules }, "a.com", 443, { method: "GET", path: "/v1/chat" }).verdict).toBe("deny");
    expect(decide({ rules }, "a.com", 443, { method: "POST", path: "/v1/files/x" })).toMatchObject({ verdict: "deny", rule: "no" });
    expect(decide({ rules }, "a.com", 443, { method: "POST", path: "/v1/%66iles/x" })).toMatchObject({ verdict: "deny", rule: "no" });
    expect(decide({ rules }, "a.com", 443, { method: "POST", path: "/v1/chat%2f..%2ffiles" }).verdict).toBe("deny");
  });

  it("refuses paths nobody honest sends everywhere, ambiguous ones only where a rule looks at paths", () => {
    const at = (over: Partial<RuleInput>, path: string) => decide({ rules: [rule("a.com", over)] }, "a.com", 443, { method: "GET", path });
    expect(at({}, "/a/../b")).toMatchObject({ verdict: "deny", rule: "path" });
    expect(at({}, "/@babel%2fcore").verdict).toBe("allow");
    expect(at({ paths: ["/**"] }, "/@babel%2fcore").verdict).toBe("deny");
    expect(
      decide({ default: "public", rules: [rule("a.com", { effect: "deny", paths: ["/x"] })] }, "a.com", 443, {
        method: "GET",
        path: "/%2fy",
      }).verdict,
    ).toBe("deny");
    expect(decide({ default: "public", mode: "observe" }, "a.com", 443, { method: "GET", path: "/../b" })).toMatchObject({
      verdict: "deny",
      rule: "path",
    });
  });

  it("allows public names, but no addresses, by a public default", () => {
    expect(decide({ default: "public" }, "example.com")).toMatchObject({ verdict: "allow", rule: "default", effect: "inspect" });
    expect(decide({ default: "public" }, "1.1.1.1")).toMatchObject({ verdict: "deny", rule: "default" });
    expect(decide({ default: "public", rules: [rule("1.1.1.1")] }, "1.1.1.1").verdict).toBe("allow");
  });

  it("has no network at all with none, whatever the rules and the mode say", () => {
    const over = { default: "none", mode: "observe", rules: [rule("a.com", { origin: "operator" })] } as const;
    expect(decide(over, "a.com")).toMatchObject({ verdict: "deny", rule: "no-network" });
    expect(compilePolicy(input(over)).ports).toEqual([]);
  });

  it("observes: allows, keeps rule and reason of the denial, and says so", () => {
    const rules = [rule("a.com", { effect: "deny", origin: "operator", id: "no" })];
    expect(decide({ mode: "observe", rules }, "a.com")).toMatchObject({
      verdict: "allow",
      rule: "no",
      observed: true,
      reason: expect.stringContaining("would deny"),
    });
    expect(decide({ mode: "observe" }, "b.com")).toMatchObject({ verdict: "allow", rule: "default", observed: true });
    expect(decide({ mode: "observe", rules: [rule("b.com")] }, "b.com").observed).toBeUndefined();
  });

  it("opens tunnels only for the operator, and lets them stand beside other rules", () => {
    const tunnel = rule("pinned.com", { effect: "tunnel", origin: "operator", id: "tunnel" });
    expect(decide({ rules: [rule("pinned.com"), tunnel] }, "pinned.com")).toMatchObject({
      verdict: "allow",
      effect: "tunnel",
      rule: "tunnel",
    });
    expect(decide({ rules: [tunnel, rule("*.com.com"), rule("pinned.com", { effect: "deny" })] }, "pinned.com").verdict).toBe("deny");
  });

  it("turns anything thrown into a denial that repeats nothing", () => {
    const policy = compilePolicy(input({ default: "public" }));
    const broken = {
      get host(): CanonicalHost {
        throw new Error("boom sk-secret");
      },
      port: 443,
      scheme: "https",
    } as const;
    expect(policy.decide(broken)).toEqual({
      verdict: "deny",
      rule: "error",
      reason: "The request could not be judged, so it is denied.",
      policy: { id: "gen_1", name: "moderate", version: 3 },
    });
    const brokenOptions = {
      get port(): number {
        throw new Error("boom");
      },
    };
    expect(policy.decideAddress(host("a.com"), "1.1.1.1", brokenOptions)).toMatchObject({ verdict: "deny", rule: "error" });
  });

  it("a denial without ports closes every port, one with ports only those", () => {
    const open = rule("a.com", { id: "open", ports: [443, 8443] });
    const verdicts = (deny: RuleInput) => [443, 8443].map((port) => decide({ rules: [open, deny] }, "a.com", port).verdict);
    expect(verdicts(rule("a.com", { effect: "deny" }))).toEqual(["deny", "deny"]);
    expect(verdicts(rule("a.com", { effect: "deny", ports: [443] }))).toEqual(["deny", "allow"]);
    expect(verdicts(rule("a.com", { effect: "deny", ports: [] }))).toEqual(["allow", "allow"]);
  });

  it("lists the ports to listen on", () => {
    const rules = [rule("a.com", { ports: [8443, 443] }), rule("b.com", { ports: [9000], effect: "deny" }), rule("c.com", { ports: [] })];
    expect(compilePolicy(input({ rules })).ports).toEqual([80, 443, 8443]);
  });
});

describe("compilePolicy refuses", () => {
  it.each<readonly [string, Partial<RuleInput>, RegExp]>([
    ["*", {}, /wildcard/],
    ["*.", {}, /empty|only a dot/],
    ["*.com", {}, /top-level/],
    ["a*b.com", {}, /wildcard/],
    ["a.*.com", {}, /wildcard/],
    ["*.*.com", {}, /wildcard/],
    ["**.a.com", {}, /wildcard/],
    ["*.1.2.3.4", {}, /over addresses/],
    ["*.[::1]", {}, /over addresses/],
    ["", {}, /empty/],
    ["a b", {}, /white space/],
    ["127.1", {}, /four decimal/],
    ["http://a.com", {}, /character/],
    ["a.com", { ports: [0] }, /port/],
    ["a.com", { ports: [65_536] }, /port/],
    ["a.com", { ports: [1.5] }, /port/],
    ["a.com", { ports: [53] }, /names/],
    ["a.com", { ports: [22] }, /SSH/],
    ["a.com", { methods: ["GET POST"] }, /token/],
    ["a.com", { methods: [""] }, /token/],
    ["a.com", { paths: ["v1"] }, /slash/],
    ["a.com", { effect: "tunnel" }, /only the operator/],
    ["a.com", { effect: "tunnel", origin: "operator", paths: ["/x"] }, /cannot be seen/],
  ])("host %j with %j", (pattern, over, message) => {
    const compile = () => compilePolicy(input({ rules: [rule(pattern, over)] }));
    expect(compile).toThrow(message);
    expect(compile).toThrow(expect.objectContaining({ code: over.origin === "operator" ? "CONFIG_INVALID" : "VALIDATION" }));
  });

  it("a rule that looks inside what another rule leaves closed", () => {
    const rules = [
      rule("*.a.com", { effect: "tunnel", origin: "operator", id: "t" }),
      rule("x.a.com", { effect: "deny", origin: "operator", id: "d", paths: ["/admin"] }),
    ];
    expect(() => compilePolicy(input({ rules }))).toThrow(/d looks at methods or paths of a host that t passes unopened/);
    expect(() => compilePolicy(input({ rules: [rules[0], { ...rules[1], ports: [8443] }] as RuleInput[] }))).not.toThrow();
  });

  it("an own address that is none", () => {
    expect(() => compilePolicy(input({ ownAddresses: ["localhost"] }))).toThrow(AppError);
  });
});

describe("decideAddress", () => {
  const judge = (over: Partial<PolicyInput>, address: string, options: { port?: number; trusted?: boolean } = {}) =>
    compilePolicy(input(over)).decideAddress(host("a.com"), address, { port: 443, ...options });

  it.each([
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "100.64.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00::1",
    "fd00:ec2::254",
    "198.18.0.1",
    "",
    "junk",
  ])("denies %s and says what it is", (address) => {
    const decision = judge({}, address);
    expect(decision).toMatchObject({ verdict: "deny", rule: "address" });
    expect(decision.address).toBeDefined();
  });

  it("opens private and shared ranges by unsafe_allow_private, and nothing else", () => {
    const open = (address: string) => judge({ unsafeAllowPrivate: true }, address).verdict;
    expect(["10.1.2.3", "192.168.1.1", "fd12::1", "100.64.0.1"].map(open)).toEqual(["allow", "allow", "allow", "allow"]);
    expect(
      [
        "127.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "fd00:ec2::254",
        "0.0.0.0",
        "::ffff:10.1.2.3",
        "64:ff9b::a01:203",
        "169.254.1.1",
        "224.0.0.1",
        "198.18.0.1",
      ].map(open),
    ).not.toContain("allow");
  });

  it("trusts an operator's origin on this machine and in this network, but no metadata, and nothing embedded", () => {
    const trusted = (address: string) => judge({}, address, { trusted: true, port: 8080 }).verdict;
    expect(["127.0.0.1", "::1", "10.1.2.3", "8.8.8.8"].map(trusted)).not.toContain("deny");
    expect(
      [
        "169.254.169.254",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "198.18.0.1",
        "::ffff:127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
      ].map(trusted),
    ).not.toContain("allow");
  });

  it("never reaches its own addresses, nor its own ports even for an operator's origin", () => {
    const own = { ownAddresses: ["203.0.114.7", "2a00:0:0::1"], ownPorts: [18_888] };
    expect(judge(own, "203.0.114.7")).toMatchObject({ verdict: "deny", address: "own-interface" });
    expect(judge({ ...own, unsafeAllowPrivate: true }, "2a00::1")).toMatchObject({ verdict: "deny", address: "own-interface" });
    expect(judge(own, "203.0.114.7", { trusted: true, port: 8080 }).verdict).toBe("allow");
    for (const address of ["203.0.114.7", "2a00::1", "127.0.0.1", "127.9.9.9", "::1"]) {
      expect(judge(own, address, { trusted: true, port: 18_888 })).toMatchObject({
        verdict: "deny",
        reason: expect.stringContaining("own port"),
      });
    }
    expect(judge(own, "8.8.8.8", { port: 18_888 }).verdict).toBe("allow");
  });
});
