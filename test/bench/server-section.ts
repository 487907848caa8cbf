import { AgentKernel } from "agentkernel";
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Section } from "./context.ts";
import { type Figure, percentiles } from "./figures.ts";
import { startServer } from "./served.ts";
import { runners } from "./users.ts";

/** What callers of the HTTP API see; the server is a process of its own, the public npm SDK its client. */
export const serverSection: Section = {
  name: "server",
  run: async (bench) => {
    const [user] = await runners(bench);
    if (user === undefined) return [];
    await using server = await startServer(user);
    return [await runs(bench, server.url, user.name), ...(await creates(bench, server.url, user.name))];
  },
};

async function runs(bench: Bench, baseUrl: string, who: string): Promise<Figure> {
  bench.say("server: POST /run");
  const sdk = new AgentKernel({ baseUrl });
  const durations: number[] = [];
  const warmUp = bench.choose(20, 2);
  for (let i = 0; i < warmUp + bench.choose(150, 5); i += 1) {
    const startedAt = performance.now();
    const { output } = await sdk.run(["echo", "x"]);
    if (i >= warmUp) durations.push(performance.now() - startedAt);
    if (output !== "x\n") throw new Error(`POST /run gave ${JSON.stringify(output)}`);
  }
  return {
    section: "server",
    name: `\`POST /run\` through the npm package agentkernel, as ${who}`,
    unit: "ms",
    ours: percentiles(durations, 50, 95, 99),
    samples: durations.length,
    target: { of: "p50", atMost: 15 },
    peers: [{ name: "server of the npm package's own project", absent: "not installed" }],
    how: "`echo` one call after another against `agentkernel serve`, a fresh sandbox each time, no pool, output checked",
  };
}

/** Many sandboxes at once, and what other callers notice meanwhile. */
async function creates(bench: Bench, url: string, who: string): Promise<Figure[]> {
  const count = bench.choose(200, 10);
  bench.say(`server: ${count} sandboxes at once`);
  const call = async (method: string, path: string, body?: object): Promise<void> => {
    const response = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 300)}`);
  };
  const names = Array.from({ length: count }, (_, i) => `many-${i}`);
  const meanwhile: number[] = [];
  let busy = true;
  const probe = (async () => {
    while (busy) {
      const startedAt = performance.now();
      await call("GET", "/status");
      meanwhile.push(performance.now() - startedAt);
      await delay(5);
    }
  })();
  const startedAt = performance.now();
  const created = await Promise.allSettled(names.map((name) => call("POST", "/sandboxes", { name })));
  const createMs = performance.now() - startedAt;
  busy = false;
  await probe;
  const failed = created.filter((result) => result.status === "rejected");
  const removeAt = performance.now();
  await Promise.all(names.flatMap((name, i) => (created[i]?.status === "fulfilled" ? [call("DELETE", `/sandboxes/${name}`)] : [])));
  const removeMs = performance.now() - removeAt;
  if (failed.length > 0) throw new Error(`${failed.length} of ${count} creates failed, the first with: ${String(failed[0]?.reason)}`);
  return [
    {
      section: "sandbox, bubblewrap",
      name: `${count} sandboxes created at once, as ${who}`,
      unit: "ms",
      ours: { value: createMs, "removed in": removeMs },
      samples: count,
      target: { of: "value", atMost: 2_000 },
      how: `${count} \`POST /sandboxes\` at once against \`agentkernel serve\`, until the last answer; none failed`,
    },
    {
      section: "server",
      name: `\`GET /status\` while ${count} sandboxes are created`,
      unit: "ms",
      ours: percentiles(meanwhile, 50, 99),
      samples: meanwhile.length,
      target: { of: "p99", atMost: 100 },
      how: "one call after another, 5 ms apart, during the figure above",
    },
  ];
}
