import { existsSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

type Ocsf = { readonly class_uid: number; readonly metadata: { readonly uid: string } };

describe("agentkernel audit", requires("bwrap"), () => {
  it("delivers what a run did before the run has ended, as OCSF to a webhook and as native records to a file", async () => {
    await using place = await installation();
    await using target = await receiver();
    const file = join(place.home, "out", "audit.jsonl");
    await place.configure(`
      [[audit.streams]]
      destination = { type = "http_webhook", url = "${target.url}", authorization = { env = "COLLECTOR_KEY" } }
      [[audit.streams]]
      destination = { type = "file", path = "${file}" }
      ocsf_enabled = false
      [[audit.streams]]
      name = "nobody"
      destination = { type = "http_webhook", url = "http://127.0.0.1:9/" }
    `);
    const ran = await place.run(["run", "--no-workspace", "--", "true"], { env: { COLLECTOR_KEY: "Bearer k1" } });
    expect([ran.code, ran.stderr.toString()]).toEqual([0, ""]);
    const events = target.received.flatMap(({ body }) => JSON.parse(body) as readonly Ocsf[]);
    expect(events.map(({ class_uid }) => class_uid)).toEqual(expect.arrayContaining([1008, 6003, 1007]));
    expect(new Set(target.received.map(({ headers }) => headers.authorization))).toEqual(new Set(["Bearer k1"]));
    const native = (await readFile(file, "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { uid: string; action: string });
    expect(native.map(({ uid }) => uid)).toEqual(events.map(({ metadata }) => metadata.uid));
    expect(native.at(-1)?.action).toBe("audit.stop");
    expect(existsSync(`${file}.heads`)).toBe(true);

    // what left the machine are anchors
    const anchors = join(place.home, "anchors");
    writeFileSync(anchors, target.received.map(({ headers }) => `${String(headers["agentkernel-chain-head"])}\n`).join(""));
    expect(await place.run(["audit", "verify", "--anchors", anchors])).toMatchObject({ code: 0 });
    const cut = join(place.home, "cut");
    writeFileSync(cut, `${String(target.received.at(-1)?.headers["agentkernel-chain-head"]).replace(/:\d+:/, ":999:")}\n`);
    const truncated = await place.run(["audit", "verify", "--anchors", cut, "--json"]);
    expect([truncated.code, JSON.parse(truncated.stdout.toString())]).toMatchObject([2, { verdict: "truncated" }]);
    expect((await place.run(["audit", "verify", "--anchors", "/nowhere"])).code).toBe(125);

    const checked = await place.run(["config", "check"], { env: { COLLECTOR_KEY: "Bearer k1" } });
    expect(checked.stderr.toString()).toBe("");
  });

  it("shows streams in /status, sends again on request and keeps what a receiver rejects", async () => {
    await using place = await installation();
    await using target = await receiver();
    await place.configure(`
      [[audit.streams]]
      name = "siem"
      destination = { type = "http_webhook", url = "${target.url}" }
      flush_interval_secs = 0
    `);
    const server = startCli(["serve", "--port", "0"], { home: place.home });
    let output = "";
    server.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const url = await waitFor(() => /listening on (\S+)/.exec(output)?.[1], { timeoutMs: 20_000 });
    const ended = new Promise((resolve) => server.once("exit", resolve));
    try {
      const api = async (path: string, init: RequestInit = {}): Promise<{ readonly data: never; readonly code?: string }> =>
        (await fetch(`${url}${path}`, { ...init, headers: { "content-type": "application/json" } })).json() as never;
      const post = (path: string, body: object) => api(path, { method: "POST", body: JSON.stringify(body) });
      await waitFor(() => target.received.length > 0, { what: "the first event" });
      const streams = async () => ((await api("/status")).data as { streams: readonly Record<string, unknown>[] }).streams;
      await waitFor(async () => (await streams())[0]?.["lag"] === 0);
      expect((await streams())[0]).toMatchObject({
        name: "siem",
        type: "http_webhook",
        state: "delivering",
        dead_letters: 0,
        last_error: null,
      });
      expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/agentkernel_delivery_events_total\{sink="siem"\} [1-9]/);

      const heads = (await api("/audit/head")).data as readonly { chain: string; seq: number; hash: string; open: boolean }[];
      expect(heads[0]).toMatchObject({ open: true });
      expect((await post("/audit/verify", { anchors: [`${heads[0]?.chain}:${heads[0]?.seq}:${heads[0]?.hash}`] })).data).toMatchObject({
        exit: 0,
        anchor: "external",
      });
      expect((await post("/audit/verify", { anchors: ["nonsense"] })).code).toBe("VALIDATION");
      expect((await post("/audit/replay", { sink: "other" })).code).toBe("NOT_FOUND");

      const follow = startCli(["audit", "tail", "-f", "-n", "1", "--json"], { home: place.home });
      let followed = "";
      follow.stdout?.on("data", (chunk: Buffer) => (followed += chunk.toString()));
      await waitFor(() => followed !== "", { timeoutMs: 20_000 });
      const before = target.received.length;
      expect((await place.run(["audit", "replay", "--sink", "siem", "--since", "1h"])).code).toBe(0);
      await waitFor(() => target.received.slice(before).some(({ body }) => body.includes('"Event Log Activity: Start"')), {
        what: "the first event once more",
      });
      await waitFor(() => followed.includes('"resource_type":"stream"'), { what: "the request in the live feed" });
      follow.kill("SIGINT");
      expect(await new Promise((resolve) => follow.once("exit", resolve))).toBe(0);

      target.behave(({ body }) => ({ status: body.includes("Policy") || !body.includes("Entity Management") ? 200 : 422, body: "no" }));
      expect((await place.run(["audit", "replay", "--sink", "siem"])).code).toBe(0);
      const dead = await waitFor(async () => {
        const found = await place.run(["audit", "dead", "--sink", "siem", "--json"]);
        return found.stdout.toString().includes('"reason":"HTTP 422: no"') && found.stdout.toString();
      });
      expect(dead.split("\n")[0]).toContain('"type":"admin.change"');
      target.behave(() => ({ status: 200 }));
      expect((await place.run(["audit", "replay", "--sink", "siem", "--dead"])).code).toBe(0);
      await waitFor(async () => (await streams())[0]?.["dead_letters"] === 0);

      const exported = await place.run(["audit", "export", "--since", "1h"]);
      const types = exported.stdout
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { type: string; operation?: string });
      expect(types.some(({ type, operation }) => type === "audit.log" && operation === "export")).toBe(true);
      const streamed = await (await fetch(`${url}/audit/export`)).text();
      expect(streamed.trim().split("\n").length).toBeGreaterThanOrEqual(types.length);
    } finally {
      server.kill("SIGTERM");
      await ended;
    }
    expect((await place.run(["audit", "head"])).stdout.toString()).toMatch(/^chn_[0-9a-z]{24}:\d+:[0-9a-f]{64}\n/);
  });
});
