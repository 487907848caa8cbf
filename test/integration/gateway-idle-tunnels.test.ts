import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { EGRESS_LIMITS } from "../../src/app/egress/lazy-gateway.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { clientHello } from "../support/gateway/hello.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "api.example.com";
/** an address that a rule passes unopened, and that the operator sends to the server that never answers */
const TUNNEL = "203.0.113.7";
const WANTED = 10_000;
const FETCHES = 60;
/** MiB that 10,000 tunnels, each with both its sockets, may take of the gateway */
const MEMORY = 600;

/** Descriptors that this process may have: raised as far as it may be. */
function descriptors(): number {
  spawnSync("prlimit", ["--pid", String(process.pid), "--nofile=65536:65536"]);
  const line = readFileSync("/proc/self/limits", "utf8")
    .split("\n")
    .find((one) => one.startsWith("Max open files"));
  return Number(line?.split(/\s+/)[3]);
}

test("10,000 idle tunnels of other sandboxes, or as many as there are descriptors for, cost a sandbox nothing that it would notice", async ({
  annotate,
}) => {
  const each = EGRESS_LIMITS.connectionsPerListener;
  // two for each tunnel; where root may not raise them, as many tunnels as there are
  const count = Math.ceil(Math.min(WANTED, (descriptors() - 1_000) / 2) / each);
  await using peers = Object.assign(
    spawn(process.execPath, [fileURLToPath(new URL("../support/gateway/idle-peers.ts", import.meta.url))], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
    {
      [Symbol.asyncDispose]: async () => {
        const ended = once(peers, "close");
        peers.stdin.end();
        await ended;
      },
    },
  );
  const lines = createInterface({ input: peers.stdout })[Symbol.asyncIterator]();
  const next = async <T>(): Promise<T> => JSON.parse(String((await lines.next()).value)) as T;
  const { port } = await next<{ port: number }>();

  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], limits: EGRESS_LIMITS });
  const policy = testPolicy([], { rules: [{ id: "tunnel", host: TUNNEL, effect: "tunnel", origin: "operator" }] });
  await using stack = new AsyncDisposableStack();
  const ports: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const server = createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 511 });
    await once(server, "listening");
    ports.push((server.address() as AddressInfo).port);
    const egress = {
      ...fixture.egress,
      uuid: `idle-${i}`,
      name: `idle-${i}`,
      policy,
      upstreams: [{ host: TUNNEL, url: new URL(`https://127.0.0.1:${port}`) }],
    };
    stack.use(fixture.gateway.attach(egress, { tcp: new Map([[443, server]]), destinationOf: () => ({ address: TUNNEL, port: 443 }) }));
  }

  const median = async (): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < FETCHES; i += 1) {
      const from = performance.now();
      expect((await fetchInside(fixture, `https://${HOST}/`)).text).toBe("ok");
      times.push(performance.now() - from);
    }
    return times.sort((a, b) => a - b)[FETCHES / 2] ?? 0;
  };
  await median();
  const alone = await median();
  const rss = process.memoryUsage.rss();
  peers.stdin.write(`${JSON.stringify({ ports, each, hello: clientHello({}).toString("hex") })}\n`);
  expect(await next()).toEqual({ arrived: count * each });
  const grown = (process.memoryUsage.rss() - rss) / 1024 ** 2;
  const beside = await median();
  await annotate(`${count * each} tunnels: ${alone.toFixed(1)} ms alone, ${beside.toFixed(1)} ms beside them, ${grown.toFixed(0)} MiB`);
  expect(count * each).toBeGreaterThan(2_000);
  expect(grown).toBeLessThan(MEMORY);
  // the machine may be busy with other things; what one tunnel in ten thousand costs would show as hundreds of ms
  expect(beside).toBeLessThan(alone * 3 + 25);
}, 180_000);
