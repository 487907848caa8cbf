import { writeFileSync } from "node:fs";
import { once } from "node:events";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createStandIn } from "../../src/demo/stand-in.ts";
import { event as eventSchema, type Event, type NewEvent } from "../../src/schema/event.ts";
import { startCli } from "../support/cli.ts";
import { installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

/** Who did it: every change that a caller can make stands in the log under the caller's name, from each way in. */

afterAll(() => expectNoChildren(/esbuild|vitest/));

const USER = userInfo().username;
const KEY = "k".repeat(40);

type Shown = Readonly<Record<string, unknown>> & Pick<Event, "type" | "actor" | "outcome">;

describe("who stands in the audit log", requires("bwrap", "curl"), () => {
  it("is the key's name, the user of the socket, the sandbox or the system, event by event", async () => {
    await using place = await installation();
    const standIn = await createStandIn();
    await using _closing = { [Symbol.asyncDispose]: () => standIn.close() };
    const ca = join(place.home, "ca.pem");
    writeFileSync(ca, standIn.caPem);
    const toml = `
[[egress.upstreams]]
host = "api.openai.com"
url = "${standIn.origin}"
ca_file = "${ca}"
[[egress.rules]]
host = "api.openai.com"
[[audit.streams]]
name = "siem"
destination = { type = "file", path = "${join(place.home, "siem.jsonl")}" }
`;
    await place.configure(toml);
    const server = startCli(["serve", "--port", "0"], { home: place.home, env: { AGENTKERNEL_API_KEY: KEY } });
    let said = "";
    for (const stream of [server.stdout, server.stderr]) stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const url = await waitFor(() => /listening on (\S+)/.exec(said)?.[1], { what: "the server", timeoutMs: 30_000 });
    const ended = once(server, "exit");
    const api = async (method: string, path: string, body?: object, key = KEY): Promise<number> => {
      const response = await fetch(url + path, {
        method,
        headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return response.ok ? 0 : Number(`${response.status}`) || Number(text);
    };
    const all = async (): Promise<readonly Shown[]> =>
      (await place.run(["audit", "tail", "-n", "500", "--json"])).stdout
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Shown);
    try {
      // with the key
      expect(await api("POST", "/secrets", { name: "TOKEN", value: "value-of-the-token" }, "wrong")).toBe(401);
      const calls: readonly (readonly [string, string, object?])[] = [
        ["POST", "/secrets", { name: "TOKEN", value: "value-of-the-token" }],
        ["POST", "/secrets", { name: "TOKEN", value: "another-value-of-it" }],
        ["PUT", "/llm/keys/api.openai.com", { vault_key_name: "TOKEN" }],
        ["DELETE", "/llm/keys/api.openai.com"],
        ["DELETE", "/secrets/TOKEN"],
        ["PUT", "/llm/budgets/small", { scope: "global", unit: "requests", limit: 9 }],
        ["PUT", "/llm/budgets/small", { scope: "global", unit: "requests", limit: 2 }],
        ["POST", "/proxy/hooks", { name: "seen", event: "on_deny", target: { type: "audit" } }],
        ["POST", "/proxy/hooks/seen/replay", {}],
        ["PUT", "/policy", { rules: [{ host: "example.org", effect: "deny" }] }],
        ["POST", "/audit/replay", { sink: "siem" }],
        ["POST", "/audit/replay", { sink: "siem", purge: true }],
        ["GET", "/audit/export"],
        ["POST", "/sandboxes", { name: "box" }],
        ["POST", "/sandboxes/box/exec", { command: ["sh", "-c", inside] }],
        ["POST", "/sandboxes/box/stop"],
        ["POST", "/sandboxes/box/start"],
        ["POST", "/sandboxes/box/extend", { by: "1h" }],
        ["DELETE", "/llm/usage/box"],
        ["DELETE", "/proxy/hooks/seen"],
        ["DELETE", "/llm/budgets/small"],
        ["DELETE", "/sandboxes/box"],
      ];
      for (const [method, path, body] of calls) expect([method, path, await api(method, path, body)]).toEqual([method, path, 0]);
      // over the socket, by a signal, and without a server
      expect((await place.run(["secret", "set", "OTHER"], { input: "some-value-of-it" })).code).toBe(0);
      await place.configure(`${toml}\n[[egress.rules]]\nhost = "example.net"\n`);
      server.kill("SIGHUP");
      await waitFor(async () => (await all()).some(({ resource_type }) => resource_type === "config"), { what: "the reload" });
      expect((await place.run(["run", "--", "sh", "-c", "echo x > made"])).code).toBe(0);
      expect((await place.run(["run", "--copy", "--apply", "--", "sh", "-c", "echo x > other"])).code).toBe(0);
    } finally {
      server.kill("SIGTERM");
      await ended;
    }

    const events = await all();
    for (const event of events) expect(eventSchema.safeParse(event).error, JSON.stringify(event)).toBeUndefined();
    const key = { kind: "api_key", user_id: "default", ip_address: "127.0.0.1" };
    const of = (type: NewEvent["type"], fields: readonly string[], by: (event: Shown) => boolean = () => true) =>
      events.filter((event) => event.type === type && by(event)).map((event) => fields.map((field) => event[field]));
    const byKey = (event: Shown): boolean => event.actor.kind === "api_key" && event.outcome !== "deny";

    // the refusal makes the success that follows stand out; the socket is a session of its own
    expect(events.filter(({ type }) => type === "auth.attempt").slice(0, 3)).toMatchObject([
      { outcome: "deny", method: "api_key", path: "/secrets", actor: { kind: "api_key", user_id: "unknown", ip_address: "127.0.0.1" } },
      { outcome: "permit", method: "api_key", path: "/secrets", actor: key, count: 1 },
      { outcome: "permit", method: "unix_socket", actor: { kind: "user", user_id: USER } },
    ]);
    expect(of("auth.attempt", ["method"])).toHaveLength(3);
    expect(of("admin.change", ["resource_type", "resource_id", "operation"], byKey)).toEqual([
      ["secret", "TOKEN", "create"],
      ["secret", "TOKEN", "update"],
      ["llm_key", "api.openai.com", "create"],
      ["llm_key", "api.openai.com", "delete"],
      ["secret", "TOKEN", "delete"],
      ["budget", "small", "create"],
      ["budget", "small", "update"],
      ["hook", "seen", "create"],
      ["hook", "seen", "update"],
      ["policy", "api", "update"],
      ["stream", "siem", "update"],
      ["stream", "siem", "delete"],
      ["usage", "box", "delete"],
      ["hook", "seen", "delete"],
      ["budget", "small", "delete"],
    ]);
    for (const event of events) if (byKey(event)) expect(event.actor, JSON.stringify(event)).toEqual(key);
    for (const event of events.filter((one) => byKey(one) && one.type !== "sandbox.exec"))
      expect(event["request_id"], event.type).toMatch(/^req_/);
    expect(of("audit.log", ["operation"], byKey)).toEqual([["export"]]);
    expect(of("sandbox.operation", ["operation"], byKey)).toEqual([["create"], ["stop"], ["start"], ["extend"], ["stop"], ["remove"]]);
    expect(of("sandbox.exec", ["operation"], byKey)).toEqual([["launch"], ["exit"]]);

    const byUser = ({ actor }: Shown): boolean => actor.kind === "user" && actor.user_id === USER;
    const file = join(place.home, "config", "agentkernel", "agentkernel.toml");
    expect(of("admin.change", ["resource_type", "resource_id", "operation", "reason"], byUser)).toEqual([
      ["secret", "OTHER", "create", undefined],
      ["config", file, "reload", "changed: egress.rules"],
      ["policy", file, "reload", undefined],
    ]);
    // `run` has no door: the user of the system is the caller
    expect(new Set(of("sandbox.exec", ["operation"], byUser).flat())).toEqual(new Set(["launch", "exit"]));
    expect(of("sandbox.workspace", ["operation"]).flat()).toContain("apply");

    const bySandbox = ({ actor }: Shown): boolean => actor.kind === "sandbox";
    expect(of("egress.exchange", ["host", "decision", "sandbox"], bySandbox)).toEqual(
      expect.arrayContaining([
        ["api.openai.com", "allow", "box"],
        ["example.org", "deny", "box"],
      ]),
    );
    expect(of("llm.call", ["host", "call_outcome"], bySandbox)).toEqual([
      ["api.openai.com", "ok"],
      ["api.openai.com", "ok"],
      ["api.openai.com", "denied"],
    ]);
    expect(of("security.finding", ["finding"]).flat()).toEqual(expect.arrayContaining(["budget_threshold"]));
    expect(of("security.finding", ["rule"]).flat()).toContain("hook:seen");
    for (const type of ["egress.exchange", "egress.decision", "llm.call"] as const)
      for (const event of events.filter((one) => one.type === type))
        expect(event.actor, JSON.stringify(event)).toMatchObject({ kind: "sandbox", user_id: "box" });
    expect(events.filter(({ type, actor }) => type === "audit.log" && actor.kind === "system").length).toBeGreaterThan(0);

    for (const secret of [KEY, "value-of-the-token", "another-value-of-it", "some-value-of-it"])
      expect(JSON.stringify(events)).not.toContain(secret);
  });
});

const call = `curl -s -o /dev/null https://api.openai.com/v1/chat/completions -H 'authorization: Bearer k' -H 'content-type: application/json' -d '{"model":"gpt-4o-mini","max_tokens":5,"messages":[{"role":"user","content":"x"}]}'`;
const inside = `${call}; ${call}; ${call}; curl -s -o /dev/null https://example.org/; true`;
