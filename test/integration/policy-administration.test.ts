import { expect, test } from "vitest";
import type { OwnedApp } from "../../src/app/create-app.ts";
import { TEST_CALLER as caller, appSetting as setting } from "../support/app-setting.ts";
import { waitFor } from "../support/wait-for.ts";

const rules = (...hosts: readonly string[]): string => hosts.map((host) => `[[egress.rules]]\nhost = "${host}"\n`).join("");
const locked = (host: string): string => `[egress]\nlocked = true\n${rules(host)}`;
const verdict = async (app: OwnedApp, host: string): Promise<string> => (await app.policy.check({ url: `https://${host}/` })).verdict;

test("what GET shows can be sent back changed; numbers of rules that stay do not change", async () => {
  await using at = await setting(rules("file.com"));
  const { policy } = at.app;
  const empty = await policy.get();
  expect(empty).toMatchObject({ generation: 1, locked: false, rules: [{ id: "egress.rules[0]", source: "file", host: "file.com" }] });
  const one = await policy.put(caller, {
    ...empty,
    rules: [...empty.rules, { host: "a.com", effect: "allow" }, { host: "b.com", effect: "allow" }],
  });
  expect(one.generation).toBe(2);
  expect(one.rules.map(({ id }) => id)).toEqual(["egress.rules[0]", "api.rules[1]", "api.rules[2]"]);
  const two = await policy.put(caller, { rules: one.rules.filter(({ id }) => id !== "api.rules[1]") });
  expect(two.rules.map(({ id }) => id)).toEqual(["egress.rules[0]", "api.rules[2]"]);
  expect([await verdict(at.app, "a.com"), await verdict(at.app, "b.com"), await verdict(at.app, "file.com")]).toEqual([
    "deny",
    "allow",
    "allow",
  ]);
  const [change] = (await at.app.events.tail({ last: 1, types: ["admin.change"] })) as readonly { readonly reason?: string }[];
  expect(change).toMatchObject({
    resource_type: "policy",
    operation: "update",
    reason: "without api.rules[1] (allow a.com)",
    actor: caller.actor,
  });
});

test("rules of the file are read-only, and the refusal names the file", async () => {
  await using at = await setting(rules("file.com"));
  const { policy } = at.app;
  const before = await policy.get();
  const refused = (change: object) =>
    expect(policy.put(caller, { rules: [], ...change })).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringContaining("/test.toml"),
    });
  await refused({ rules: [{ id: "egress.rules[0]", source: "file", host: "file.com", effect: "deny" }] });
  await refused({ rules: [{ id: "egress.rules[1]", host: "file.com", effect: "allow" }] });
  await refused({ locked: true });
  await refused({ mode: "observe" });
  await refused({ default: "allow" });
  await refused({ file: "/etc/other.toml" });
  expect(await policy.get()).toEqual(before);
});

test("a question about a sandbox and a profile at once is refused", async () => {
  await using at = await setting("");
  const asked = at.app.policy.check({ url: "https://a.com/", sandbox: "web", profile: "permissive" });
  await expect(asked).rejects.toMatchObject({ code: "VALIDATION" });
});

test("a wrong rule, one beyond a locked list and a stale generation change nothing", async () => {
  await using at = await setting(locked("*.corp.example"));
  const { policy } = at.app;
  const put = (rule: { host: string; effect: "allow" | "deny" | "tunnel"; paths?: string[]; sandbox?: string }, generation?: number) =>
    policy.put(caller, { rules: [rule], ...(generation === undefined ? {} : { generation }) });
  await expect(put({ host: "*.com", effect: "allow" })).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(put({ host: "a.com", effect: "allow", paths: ["no-slash"] })).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(put({ host: "a.corp.example", effect: "tunnel" })).rejects.toMatchObject({ code: "VALIDATION" });
  await expect(put({ host: "evil.com", effect: "allow" })).rejects.toMatchObject({ code: "POLICY_DENIED" });
  await expect(put({ host: "a.corp.example", effect: "allow", sandbox: "nobody" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(put({ host: "a.corp.example", effect: "allow" }, 7)).rejects.toMatchObject({ code: "CONFLICT" });
  expect((await policy.get()).generation).toBe(1);
  expect((await put({ host: "a.corp.example", effect: "deny" }, 1)).generation).toBe(2);
  expect(await verdict(at.app, "a.corp.example")).toBe("deny");
});

test("a bad reload keeps the old generation, says why and is recorded; a good one takes effect", async () => {
  await using at = await setting(rules("a.com"));
  await at.write(rules("*.com"));
  await expect(at.app.policy.reload(caller)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("egress.rules[0]"),
  });
  await at.write("[egress]\nrule = []\n");
  await expect(at.app.policy.reload(caller)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect([await verdict(at.app, "a.com"), (await at.app.policy.get()).generation]).toEqual(["allow", 1]);
  const [failed] = await at.app.events.tail({ last: 1, types: ["admin.change"] });
  expect(failed).toMatchObject({
    outcome: "error",
    resource_type: "config",
    operation: "reload",
    reason: expect.stringContaining("the old generation holds"),
  });
  await at.write(`${rules("b.com")}\n[audit]\nmax_age = "30d"\n`);
  await at.app.policy.reload(caller);
  expect(await at.app.events.tail({ last: 2, types: ["admin.change"] })).toMatchObject([
    { outcome: "permit", resource_type: "config", reason: "changed: egress.rules, audit.max_age; after a restart only: audit" },
    { outcome: "permit", resource_type: "policy", operation: "reload", policy: { version: 2 } },
  ]);
  expect([await verdict(at.app, "a.com"), await verdict(at.app, "b.com"), (await at.app.policy.get()).generation]).toEqual([
    "deny",
    "allow",
    2,
  ]);
});

test("rules made over the API stay inside a list that was locked afterwards", async () => {
  await using at = await setting(rules("a.com"));
  await at.app.policy.put(caller, { rules: [{ host: "added.com", effect: "allow" }] });
  expect(await verdict(at.app, "added.com")).toBe("allow");
  await at.write(locked("a.com"));
  await at.app.policy.reload(caller);
  expect([await verdict(at.app, "added.com"), await verdict(at.app, "a.com")]).toEqual(["deny", "allow"]);
});

test("a process beside takes over what another changed, and both count the same generations", async () => {
  await using at = await setting(rules("a.com"));
  const beside = await at.beside();
  await at.app.policy.put(caller, { rules: [{ host: "a.com", effect: "deny" }] });
  await waitFor(async () => (await verdict(beside, "a.com")) === "deny", { what: "the other process", timeoutMs: 20_000 });
  expect((await beside.policy.get()).generation).toBe(2);
  // both change at once: nobody's change is lost without being told
  const both = await Promise.allSettled([
    at.app.policy.put(caller, { rules: [], generation: 2 }),
    beside.policy.put(caller, { rules: [{ host: "c.com", effect: "allow" }], generation: 2 }),
  ]);
  expect(both.filter(({ status }) => status === "fulfilled").length).toBeGreaterThanOrEqual(1);
});

test("a check says of an address what connecting would: a rule opens none that sandboxes may not reach", async () => {
  const upstream = '[[egress.upstreams]]\nhost = "10.0.0.9"\nurl = "http://127.0.0.1:9"\n';
  await using at = await setting(
    `${rules("127.0.0.1", "169.254.169.254", "10.0.0.1", "10.0.0.9", "93.184.216.34", "localhost")}${upstream}`,
  );
  const check = async (host: string) => {
    const { verdict, rule, reason } = await at.app.policy.check({ url: `http://${host}/` });
    return `${verdict} ${rule} ${reason}`;
  };
  expect(await check("127.0.0.1")).toBe("deny address 127.0.0.1 is a loopback address, which sandboxes may not reach.");
  expect(await check("localhost")).toBe("deny address localhost resolved to 127.0.0.1, a loopback address, which sandboxes may not reach.");
  expect(await check("169.254.169.254")).toMatch(/^deny address .*metadata/);
  expect(await check("10.0.0.1")).toMatch(/^deny address .*private/);
  expect(await check("10.0.0.9")).toMatch(/^allow egress\.rules\[3\] /);
  expect(await check("93.184.216.34")).toMatch(/^allow egress\.rules\[4\] /);
});
