import { generateKeyPairSync } from "node:crypto";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { type Receiver, receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";
import { type Served, served, upstreamsTo } from "../support/served.ts";
import { waitFor } from "../support/wait-for.ts";

/** Options of commands that show, send again and register, from the command line to what is printed or kept. */

const HOST = "api.openai.com";
const CHAT = `curl -s -o /dev/null -m 20 -w '%{http_code} ' https://${HOST}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"gpt-4o","messages":[]}'`;
const USAGE = '{"id":"c","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}';

let at: Served;
let upstream: TestUpstream;
let target: Receiver;
beforeAll(async () => {
  upstream = await testUpstream((request, response) => {
    request.resume().on("end", () => response.setHeader("content-type", "application/json").end(USAGE));
  });
  target = await receiver();
  target.behave(() => ({ status: 422, body: "no" }));
  at = await served(
    async (place) =>
      `[[audit.streams]]\nname = "siem"\nflush_interval_secs = 0\ndestination = { type = "http_webhook", url = "${target.url}/siem" }\n` +
      `[[proxy.hooks]]\nname = "told"\nevent = "on_response"\ntarget = { type = "webhook", url = "${target.url}/told" }\n` +
      (await upstreamsTo(place, upstream, HOST)),
  );
  for (const name of ["one", "two"]) await at.place.run(["create", name, "--no-workspace", "--allow", HOST, "--label", `is=${name}`]);
  expect(await at.inside("one", `${CHAT}; curl -s -o /dev/null https://nobody.example/`)).toBe("200 ");
  expect(await at.inside("two", `${CHAT}; ${CHAT}`)).toBe("200 200 ");
});
afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await target?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const run = async (...args: readonly string[]): Promise<string> => {
  const { stdout, stderr, code } = await at.place.run(args);
  expect([code, stderr.includes("error[")], `${args.join(" ")}: ${stderr}`).toEqual([0, false]);
  return stdout.toString();
};
const json = async <T = Record<string, unknown>[]>(...args: readonly string[]): Promise<T> => JSON.parse(await run(...args, "--json")) as T;
type Line = { readonly type: string; readonly sandbox?: string; readonly outcome: string };
const lines = async (...args: readonly string[]): Promise<readonly Line[]> =>
  (await run(...args, "--json")).split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Line]));
const LATER = "2099-01-01T00:00:00Z";

describe("options of listings", requires("bwrap", "curl"), () => {
  it.each([
    [["audit", "tail"], "-n"],
    [["policy", "log"], "-n"],
    [["logs", "two"], "-n"],
    [["audit", "dead", "--sink", "siem"], "-n"],
    [["hooks", "dead", "told"], "-n"],
  ] as const)("%j %s says how many", async (command, option) => {
    await waitFor(async () => (await lines(...command)).length > 1, { what: "two of them", timeoutMs: 20_000 });
    expect(await lines(...command, option, "1")).toHaveLength(1);
  });

  it("--sandbox, --since, --type and --denied keep out what does not fit", async () => {
    for (const command of [
      ["audit", "tail", "-n", "500"],
      ["policy", "log", "-n", "500"],
    ] as const) {
      const all = await lines(...command);
      expect(new Set(all.map(({ sandbox }) => sandbox)).has("one")).toBe(true);
      expect(new Set((await lines(...command, "--sandbox", "two")).map(({ sandbox }) => sandbox))).toEqual(new Set(["two"]));
      expect(await lines(...command, "--since", LATER)).toEqual([]);
    }
    expect(new Set((await lines("audit", "tail", "--type", "llm.call")).map(({ type }) => type))).toEqual(new Set(["llm.call"]));
    expect(new Set((await lines("policy", "log", "--denied")).map(({ outcome }) => outcome))).toEqual(new Set(["deny"]));
    expect((await run("audit", "export", "--since", LATER)).trim()).toBe("");
  }, 60_000);

  it("--json prints JSON where people get words", async () => {
    for (const command of [
      ["ls"],
      ["info", "one"],
      ["llm", "providers"],
      ["llm", "prices", "gpt-4o"],
      ["llm", "budget", "ls"],
      ["llm", "keys", "ls"],
      ["llm", "usage"],
      ["secret", "ls"],
      ["hooks", "ls"],
      ["policy", "ls"],
      ["policy", "check", `https://${HOST}/`, "--sandbox", "one"],
      ["policy", "allow", "a.example"],
      ["policy", "deny", "b.example"],
      ["config", "explain", "server"],
      ["audit", "verify"],
      ["audit", "head"],
      ["doctor"],
      ["start", "one"],
      ["llm", "budget", "set", "b", "--unit", "tokens", "--limit", "1000000"],
    ])
      expect(typeof (await json<object>(...command)), command.join(" ")).toBe("object");
    expect((await json<{ name: string }>("create", "three", "--no-workspace")).name).toBe("three");
    expect((await json<{ state: string }>("stop", "three")).state).toBe("stopped");
    expect((await json<{ state: string }>("start", "three")).state).toBe("running");
    await run("rm", "three");
    const tested = await at.place.run(["hooks", "test", "told", "--json"]);
    expect([tested.code, JSON.parse(tested.stdout.toString())]).toMatchObject([1, { delivered: false }]);
  }, 90_000);

  it("llm usage: --sandbox, --since, --by, --csv, --all", async () => {
    expect(Object.keys(await json<object>("llm", "usage", "--sandbox", "two"))).toEqual(["two"]);
    expect(Object.keys(await json<object>("llm", "usage"))).toEqual(expect.arrayContaining(["one", "two"]));
    expect(await json<object>("llm", "usage", "--since", LATER)).toEqual({});
    expect((await json("llm", "usage", "--by", "label")).map(({ key }) => String(key)).toSorted()).toEqual(["is=one", "is=two"]);
    expect(await run("llm", "usage", "--csv")).toContain("sandbox,provider,model");
    await run("create", "again", "--no-workspace", "--allow", HOST);
    await at.inside("again", CHAT);
    await run("rm", "again");
    await run("create", "again", "--no-workspace");
    expect(await json<Record<string, unknown[]>>("llm", "usage", "--sandbox", "again")).toEqual({ again: [] });
    expect((await json<Record<string, unknown[]>>("llm", "usage", "--sandbox", "again", "--all"))["again"]).toHaveLength(1);
    const prices = async (...more: string[]) => (await json<{ prices: { provider: string }[] }>("llm", "prices", "gpt-4o", ...more)).prices;
    expect(new Set((await prices("--provider", "azure")).map(({ provider }) => provider))).toEqual(new Set(["azure"]));
    expect((await prices()).length).toBeGreaterThan((await prices("--provider", "azure")).length);
  }, 60_000);

  it("audit head -n, verify --from; ls --label; policy check --profile", async () => {
    await run("run", "--no-workspace", "--", "true");
    const heads = await json<{ chain: string; seq: number }[]>("audit", "head");
    expect(heads.length).toBeGreaterThan(1);
    expect(await json("audit", "head", "-n", "1")).toHaveLength(1);
    const newest = heads[0]?.chain ?? "";
    const { chains } = await json<{ chains: { chain: string }[] }>("audit", "verify", "--from", `${newest}:1`);
    expect(chains.map(({ chain }) => chain)).toEqual([newest]);
    expect((await json("ls", "--label", "is=two")).map(({ name }) => name)).toEqual(["two"]);
    expect(await json("policy", "check", "https://anything.example/", "--profile", "permissive")).toMatchObject({ verdict: "allow" });
    expect((await at.place.run(["policy", "check", "https://anything.example/"])).code).toBe(1);
  }, 60_000);

  it("llm budget set keeps what its options say", async () => {
    const options = ["--unit", "usd", "--limit", "2.5", "--scope", "label:is=one", "--window", "day", "--on-exceed", "warn"];
    expect(await json("llm", "budget", "set", "day", ...options)).toMatchObject({
      id: "day",
      unit: "usd",
      limit: 2.5,
      scope: "label:is=one",
      window: "day",
      on_exceed: "warn",
    });
  });

  it("hooks add keeps what its options say", async () => {
    const add = (name: string, ...more: readonly string[]) => run("hooks", "add", name, ...more);
    const url = ["--url", "https://93.184.215.14/x"];
    await add("a", "--event", "on_request", ...url, "--decide", "--timeout-ms", "500", "--cache-ttl", "5");
    await add("b", "--event", "on_response", ...url, "--batch", "3", "--include-body", "1KiB", "--filter", "host=x.example");
    await add("c", "--event", "on_deny", "--file", "c.jsonl");
    await add("d", "--event", "on_deny", "--audit");
    const signed = await at.place.run(["hooks", "add", "e", "--event", "on_deny", ...url, "--signed"], {
      input: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n",
    });
    expect(signed.code).toBe(0);
    const hooks = await json("hooks", "ls");
    expect(["a", "b", "c", "d", "e"].map((name) => hooks.find((one) => one["name"] === name))).toMatchObject([
      { event: "on_request", mode: "decide", timeout_ms: 500, cache_ttl: 5, target: { type: "webhook", url: "https://93.184.215.14/x" } },
      { batch: 3, include_body: 1024, filter: { host: "x.example" } },
      { event: "on_deny", target: { type: "file", path: "c.jsonl" } },
      { target: { type: "audit" } },
      { secret: { vault: expect.any(String) as string } },
    ]);
    await run("hooks", "rm", "a", "b", "c", "d", "e");
  }, 60_000);

  it("dead letters are sent again and removed, and events since a time come again", async () => {
    const letters = async (...command: readonly string[]) => (await lines(...command)).length;
    target.behave(() => ({ status: 200, body: "{}" }));
    const count = (name: string): number => target.received.filter(({ path }) => path.endsWith(name)).length;
    for (const [name, dead, replay] of [
      ["siem", ["audit", "dead", "--sink", "siem"], ["audit", "replay", "--sink", "siem"]],
      ["told", ["hooks", "dead", "told"], ["hooks", "replay", "told"]],
    ] as const) {
      target.behave(() => ({ status: 422, body: "no" }));
      await at.inside("one", CHAT);
      await waitFor(async () => (await letters(...dead)) > 0, { what: "dead letters", timeoutMs: 20_000 });
      target.behave(() => ({ status: 200, body: "{}" }));
      await run(...replay, "--dead");
      await waitFor(async () => (await letters(...dead)) === 0, { what: "their delivery", timeoutMs: 20_000 });
      const before = count(name);
      await run(...replay, "--since", "1h");
      await waitFor(() => count(name) > before + 2, { what: "the old events again", timeoutMs: 20_000 });
      target.behave(() => ({ status: 422, body: "no" }));
      await at.inside("one", CHAT);
      await waitFor(async () => (await letters(...dead)) > 0, { what: "dead letters", timeoutMs: 20_000 });
      target.behave(() => ({ status: 200, body: "{}" }));
      await run(...dead, "--purge");
      await waitFor(async () => (await letters(...dead)) === 0, { what: "their removal", timeoutMs: 20_000 });
    }
  }, 120_000);

  it("POST /audit/verify heeds from, key and anchors", async () => {
    const verify = async (body: object) =>
      (await at.api("POST", "/audit/verify", body)).body.data as unknown as { exit: number; anchor: string; chains: { chain: string }[] };
    // a chain that has ended is signed to its end
    await run("run", "--no-workspace", "--", "true");
    const [head] = (await at.api("GET", "/audit/head")).body.data as unknown as { chain: string; seq: number; hash: string }[];
    expect((await verify({ from: `${head?.chain}:1` })).chains.map(({ chain }) => chain)).toEqual([head?.chain]);
    expect((await verify({ anchors: [`${head?.chain}:${head?.seq}:${head?.hash}`] })).anchor).toBe("external");
    const stranger = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
    expect([(await verify({})).exit, (await verify({ key: stranger })).exit]).toEqual([0, 1]);
  }, 60_000);

  it("policy --wait ends when the sandboxes of other processes are under the new policy; deny --sandbox is for that one", async () => {
    const beside = startCli(["run", "--no-workspace", "--", "sleep", "60"], { home: at.place.home, cwd: at.place.workspace });
    const ended = new Promise((resolve) => beside.once("close", resolve));
    type Report = {
      readonly generation: number;
      readonly rules: { readonly id: string; readonly sandbox?: string }[];
      readonly sandboxes: { readonly generation: number }[];
    };
    const report = async () => (await at.api("GET", "/policy")).body.data as unknown as Report;
    try {
      const before = (await report()).sandboxes.length;
      await waitFor(async () => (await report()).sandboxes.length > before, { what: "the sandbox of the run", timeoutMs: 20_000 });
      const settled = async (): Promise<boolean> => {
        const { generation, sandboxes } = await report();
        return sandboxes.every((one) => one.generation === generation);
      };
      await run("policy", "allow", "w.example", "--wait");
      expect(await settled()).toBe(true);
      await run("policy", "deny", "x.example", "--wait");
      expect(await settled()).toBe(true);
      await run("policy", "rm", (await report()).rules[0]?.id ?? "", "--wait");
      expect(await settled()).toBe(true);
    } finally {
      beside.kill("SIGINT");
      await ended;
    }
    await run("policy", "deny", "y.example", "--sandbox", "one");
    expect((await report()).rules.at(-1)).toMatchObject({ host: "y.example", sandbox: "one" });
    await run("policy", "allow", "z.example", "--sandbox", "one");
    expect((await report()).rules.at(-1)).toMatchObject({ host: "z.example", sandbox: "one" });
  }, 60_000);

  it.each([
    ["audit", "tail"],
    ["policy", "log"],
  ])(
    "%s %s -f shows what follows",
    async (...command) => {
      const child = startCli([...command, "-f", "-n", "1", "--json"], { home: at.place.home });
      const ended = new Promise((resolve) => child.once("close", resolve));
      let said = "";
      child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      try {
        await waitFor(() => said.includes("\n"), { what: "the past", timeoutMs: 20_000 });
        await at.inside("one", CHAT);
        await waitFor(() => said.trim().split("\n").length > 1, { what: "what follows", timeoutMs: 20_000 });
      } finally {
        child.kill("SIGINT");
        await ended;
      }
    },
    60_000,
  );

  it("config explain says where a value comes from, --json too", async () => {
    await appendFile(join(at.place.home, "config/agentkernel/agentkernel.toml"), "[server]\nport = 4711\n");
    expect(await json("config", "explain", "server.port")).toMatchObject([{ key: "server.port", value: 4711 }]);
  });
});
