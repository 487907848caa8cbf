import { once } from "node:events";
import { afterAll, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { type Behaviour, OK, receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

/** What an operator sees of a receiver that fails in one way after the other, and that nothing is lost by it. */

afterAll(() => expectNoChildren(/esbuild|vitest/));

type Stream = { readonly state: string; readonly lag: number; readonly retries: number; readonly dead_letters: number };

it("metrics, /status and the log agree about lag, retries, dead letters and pauses; the end of a server waits for a receiver only so long", async () => {
  await using place = await installation();
  await using target = await receiver();
  let behaviour: Behaviour = { status: 503 };
  target.behave(() => behaviour);
  await place.configure(`
[[audit.streams]]
name = "siem"
flush_interval_secs = 0
max_retries = 1
destination = { type = "http_webhook", url = "${target.url}" }
`);
  const serve = async () => {
    const child = startCli(["serve", "--port", "0"], { home: place.home });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const url = await waitFor(() => /listening on (\S+)/.exec(said)?.[1], { what: "the server", timeoutMs: 30_000 });
    const get = async (path: string): Promise<string> => (await fetch(url + path)).text();
    return {
      stream: async () => (JSON.parse(await get("/status")) as { data: { streams: Stream[] } }).data.streams[0],
      metric: async (name: string, more = ""): Promise<number> => {
        const line = new RegExp(`^agentkernel_delivery_${name}\\{sink="siem"${more}\\} (\\S+)$`, "m").exec(await get("/metrics"));
        return Number(line?.[1] ?? 0);
      },
      findings: async () => (await place.run(["audit", "tail", "-n", "100", "--json", "--type", "security.finding"])).stdout.toString(),
      end: async (): Promise<void> => {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      },
    };
  };

  const first = await serve();
  try {
    await waitFor(async () => (await first.metric("failing")) === 1, { what: "a sink that counts as failing", timeoutMs: 20_000 });
    const same = async () => ((await first.stream())?.retries ?? 0) === (await first.metric("attempts_total", ',result="retry"'));
    await waitFor(same, { what: "one number of retries" });
    expect((await first.stream())?.retries).toBeGreaterThanOrEqual(1);
    expect(await first.metric("lag_events")).toBeGreaterThan(0);
    await waitFor(async () => (await first.findings()).includes('"finding":"delivery_failing"'), {
      what: "the finding",
      timeoutMs: 20_000,
    });

    behaviour = { status: 422, body: "no" };
    await waitFor(async () => (await first.metric("dead_letters_total")) > 0, { what: "dead letters", timeoutMs: 25_000 });
    await waitFor(async () => (await first.stream())?.dead_letters === (await first.metric("dead_letters_total")));

    behaviour = { status: 403, body: "revoked" };
    expect((await place.run(["secret", "set", "X"], { input: "a-value" })).code).toBe(0);
    await waitFor(async () => (await first.stream())?.state === "paused", { what: "the pause", timeoutMs: 20_000 });
    await waitFor(async () => (await first.metric("paused")) === 1, { what: "the gauge" });
    await waitFor(async () => /"delivery_paused","severity":"high"/.test(await first.findings()), { what: "the alert", timeoutMs: 20_000 });

    // resumed against a receiver that never answers: the end does not wait for it
    behaviour = "hang";
    expect((await place.run(["audit", "replay", "--sink", "siem"])).stderr).toContain("siem: ");
  } finally {
    const from = performance.now();
    await first.end();
    expect(performance.now() - from).toBeLessThan(15_000);
  }

  behaviour = OK;
  const from = target.received.length;
  const second = await serve();
  try {
    await waitFor(async () => (await second.stream())?.lag === 0 && (await second.stream())?.state === "delivering", { timeoutMs: 20_000 });
    expect(await second.metric("paused")).toBe(0);
    const brought = target.received
      .slice(from)
      .map(({ body }) => body)
      .join("\n");
    // what the first server said at its end came with the second
    expect(brought).toContain('"Event Log Activity: Stop"');
    expect(brought).toContain('"secret X: create"');
    expect((await place.run(["audit", "verify"])).code).toBe(0);
  } finally {
    await second.end();
  }
}, 90_000);
