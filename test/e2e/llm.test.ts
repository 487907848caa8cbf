import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { UsageEntry, UsageGroup } from "../../src/schema/api.ts";
import type { LlmPrices, LlmProvider } from "../../src/schema/llm-catalog.ts";
import { startCli } from "../support/cli.ts";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { installation, type Installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

/** Model calls as an operator sees them: a provider and prices of one's own, usage that outlives its sandbox and its server. */

const HOST = "gpu.corp.example";
const URL_OF_CALL = `https://${HOST}/team-a/v1/messages`;

let at: Installation;
let upstream: TestUpstream;
let prices: string;
let serving: { readonly kill: (signal: NodeJS.Signals) => void; readonly ended: Promise<unknown>; readonly url: string };

const price = (output: number): string => `[[prices]]\nprovider = "custom"\nmodel = "corp-*"\ninput = 10\noutput = ${output}\n`;

beforeAll(async () => {
  at = await installation();
  upstream = await testUpstream((request, response) => {
    request.resume().on("end", () => {
      response.setHeader("content-type", "application/json");
      const usage = { input_tokens: 1_000, cache_read_input_tokens: 0, output_tokens: 500 };
      response.end(JSON.stringify({ id: "msg_1", type: "message", model: "corp-large", content: [], usage }));
    });
  });
  const ca = join(at.home, "ca.pem");
  prices = join(at.home, "prices.toml");
  await writeFile(ca, upstream.override(HOST).ca ?? "");
  await writeFile(prices, price(20));
  await at.configure(`
[[egress.rules]]
host = "${HOST}"
[[egress.upstreams]]
host = "${HOST}"
url = "https://localhost:${upstream.port}"
ca_file = "${ca}"
[llm]
price_file = "${prices}"
[[llm.providers]]
name = "claude-here"
hosts = ["${HOST}"]
shape = "anthropic-messages"
`);
  await serve();
});

afterAll(async () => {
  serving?.kill("SIGTERM");
  await serving?.ended;
  await at?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await expectNoChildren();
});

async function serve(): Promise<void> {
  const child = startCli(["serve", "--port", "0"], { home: at.home, cwd: at.workspace });
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise((resolve) => child.once("close", resolve));
  const url = await waitFor(() => /listening on (http:\/\/\S+)/.exec(said)?.[1], { what: "the server", timeoutMs: 20_000 });
  serving = { kill: (signal) => child.kill(signal), ended, url };
}

const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await at.run([...args, "--json"])).stdout.toString()) as T;
const by = (key: string, ...more: string[]) => json<readonly UsageGroup[]>("llm", "usage", "--by", key, ...more);
const total = async (): Promise<number | null | undefined> => (await by("provider"))[0]?.cost_usd;
const call = async (): Promise<void> => {
  const body = JSON.stringify({ model: "corp-large", max_tokens: 9, messages: [] });
  const done = await at.run([
    "exec",
    "box",
    "--",
    "curl",
    "-sS",
    "-m",
    "10",
    "-H",
    "content-type: application/json",
    "-d",
    body,
    URL_OF_CALL,
  ]);
  expect(done, done.stderr).toMatchObject({ code: 0 });
};

describe("model calls of an operator's own provider", requires("bwrap", "curl"), () => {
  it("are recognised below any path, priced by the operator's file, and shown in every form", async () => {
    expect(await at.run(["create", "box", "--no-workspace", "--label", "team=red"])).toMatchObject({ code: 0 });
    await call();
    expect(await by("model")).toMatchObject([
      { key: "corp-large", provider: "custom", request_count: 1, total_input_tokens: 1_000, total_output_tokens: 500, cost_usd: 0.02 },
    ]);
    for (const [key, value] of [
      ["provider", "custom"],
      ["sandbox", "box"],
      ["day", new Date().toISOString().slice(0, 10)],
      ["label", "team=red"],
    ] as const)
      expect(await by(key, "--since", "1h")).toMatchObject([{ key: value, total_tokens: 1_500, cost_usd: 0.02 }]);
    expect(await json<Record<string, UsageEntry[]>>("llm", "usage", "--sandbox", "box")).toMatchObject({ box: [{ model: "corp-large" }] });
    const csv = (await at.run(["llm", "usage", "--csv"])).stdout.toString();
    expect(csv.split("\r\n")[1]).toMatch(/^box,custom,corp-large,1,0,0,0,1000,500,1500,/);
    expect((await at.run(["llm", "usage"])).stdout.toString()).toMatch(/box +custom +corp-large +1 .*\$0\.02/);
  }, 60_000);

  it("are listed with their providers and prices", async () => {
    expect((await json<readonly LlmProvider[]>("llm", "providers"))[0]).toMatchObject({ name: "claude-here", provider: "custom" });
    expect((await at.run(["llm", "providers"])).stdout.toString()).toMatch(
      /custom \(claude-here\) +file +\d+ +anthropic +gpu\.corp\.example/,
    );
    const found = await json<LlmPrices>("llm", "prices", "corp-large");
    expect(found.prices).toMatchObject([{ provider: "custom", model: "corp-large", source: "file", input: 10, output: 20 }]);
    expect((await at.run(["llm", "prices", "claude-sonnet-4-5", "--provider", "anthropic"])).stdout.toString()).toMatch(/\$3 +\$15/);
    const unknown = await at.run(["llm", "prices", "nobodys-model"]);
    expect([unknown.code, unknown.stderr]).toEqual([0, expect.stringContaining('no price is known; unknown_price is "deny"')]);
    expect(await at.run(["llm", "prices", "--provider", "nobody"])).toMatchObject({ code: 125 });
  }, 60_000);

  it("have the prices that were reloaded from the next call on, and a wrong file changes nothing", async () => {
    await writeFile(prices, price(-1));
    expect(await at.run(["config", "check"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("prices[0].output is too small"),
    });
    serving.kill("SIGHUP");
    await writeFile(prices, price(100));
    expect(await at.run(["config", "check"])).toMatchObject({ code: 0 });
    serving.kill("SIGHUP");
    await waitFor(async () => (await json<LlmPrices>("llm", "prices", "corp-large")).prices[0]?.output === 100, { what: "the new price" });
    await call();
    expect(await total()).toBe(0.08);
  }, 60_000);

  it("are seen while they happen: by `llm usage --watch`, and at /llm/events", async () => {
    const watch = startCli(["llm", "usage", "--watch"], { home: at.home, cwd: at.workspace });
    const leaving = new AbortController();
    const live = await fetch(`${serving.url}/llm/events?sandbox=box`, {
      headers: { accept: "text/event-stream" },
      signal: leaving.signal,
    });
    expect([live.status, live.headers.get("content-type")]).toEqual([200, expect.stringContaining("text/event-stream")]);
    let streamed = "";
    const reading = (async () => {
      for await (const chunk of live.body ?? []) streamed += Buffer.from(chunk).toString();
    })().catch((error: unknown) => error);
    let shown = "";
    watch.stdout?.on("data", (chunk: Buffer) => (shown += chunk.toString()));
    const ended = new Promise((resolve) => watch.once("close", (code, signal) => resolve([code, signal])));
    await waitFor(() => /box +custom +corp-large +2 /.test(shown), { what: "what was used before", timeoutMs: 10_000 });
    await call();
    await waitFor(() => /box +custom +corp-large +3 .*\$0\.14/.test(shown), { what: "the call on the screen", timeoutMs: 10_000 });
    await waitFor(() => streamed.includes("event: llm.call"), { what: "the call in the stream", timeoutMs: 10_000 });
    watch.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    leaving.abort();
    expect(await reading).toMatchObject({ name: "AbortError" });
    const [, data = ""] = /^event: llm\.call\ndata: (.*)$/m.exec(streamed) ?? /^data: (.*)$/m.exec(streamed) ?? [];
    expect(JSON.parse(data)).toMatchObject({ type: "llm.call", sandbox: "box", model: "corp-large", input_tokens: 1_000, cost_usd: 0.06 });
    // the same as a list
    const listed = (await (await fetch(`${serving.url}/llm/events?sandbox=box&limit=10`)).json()) as { readonly data: readonly object[] };
    expect(listed.data).toHaveLength(3);
    expect(listed.data.at(-1)).toEqual(JSON.parse(data));
  }, 60_000);

  it("V101: stay counted when the server is killed, comes back, and the sandbox is removed", async () => {
    serving.kill("SIGKILL");
    await serving.ended;
    await serve();
    expect(await by("sandbox")).toMatchObject([{ key: "box", request_count: 3, cost_usd: 0.14 }]);
    expect(await at.run(["rm", "box"])).toMatchObject({ code: 0 });
    expect(await by("model")).toMatchObject([{ key: "corp-large", request_count: 3, total_tokens: 4_500, cost_usd: 0.14 }]);
    expect(await by("label")).toMatchObject([{ key: "team=red", request_count: 3 }]);
  }, 60_000);
});
