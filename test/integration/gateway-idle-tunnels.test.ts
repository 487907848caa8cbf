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
/** one that nothing permits: a connection to it is answered, and kept */
const DENIED = "203.0.113.8";
const WANTED = 10_000;
const ROUNDS = 3;
const FETCHES = 100;
/** descriptors of this process beside theirs */
const SPARE = 300;
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

/**
 * How many of 10,000 idle connections can be tunnels, which take two descriptors here; the others are kept between two requests, and
 * take one. Where not even that can be had, as many as there are descriptors for.
 */
function share(): { readonly tunnels: number; readonly kept: number } {
  const left = descriptors() - SPARE;
  const tunnels = Math.max(0, Math.min(WANTED, left - WANTED));
  return { tunnels, kept: Math.min(WANTED - tunnels, left - 2 * tunnels) };
}

test("10,000 idle connections of other sandboxes, tunnels as far as descriptors reach, cost a sandbox nothing that it would notice", async ({
  annotate,
}) => {
  const each = EGRESS_LIMITS.connectionsPerListener;
  const { tunnels, kept } = share();
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
  const silent = { host: TUNNEL, url: new URL(`https://127.0.0.1:${port}`) };
  const policy = testPolicy([], { rules: [{ id: "tunnel", host: TUNNEL, effect: "tunnel", origin: "operator" }] });
  await using stack = new AsyncDisposableStack();
  /** a port for each of so many connections, of as many sandboxes as it takes */
  const attach = async (count: number, address: string, port: number): Promise<readonly number[]> => {
    const ports: number[] = [];
    while (ports.length < count) {
      const server = createServer();
      server.listen({ port: 0, host: "127.0.0.1", backlog: 511 });
      await once(server, "listening");
      const own = (server.address() as AddressInfo).port;
      ports.push(...Array.from({ length: Math.min(each, count - ports.length) }, () => own));
      const egress = { ...fixture.egress, uuid: `idle-${own}`, name: `idle-${own}`, policy, upstreams: [silent] };
      stack.use(fixture.gateway.attach(egress, { tcp: new Map([[port, server]]), destinationOf: () => ({ address, port }) }));
    }
    return ports;
  };
  const wanted = { tunnels: await attach(tunnels, TUNNEL, 443), kept: await attach(kept, DENIED, 80) };

  /** median and 99th percentile in ms; the best of some rounds, since what else the machine does is not the tunnels' doing */
  const measure = async (): Promise<{ readonly median: number; readonly p99: number }> => {
    const rounds: number[][] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const times: number[] = [];
      for (let i = 0; i < FETCHES; i += 1) {
        const from = performance.now();
        expect((await fetchInside(fixture, `https://${HOST}/`)).text).toBe("ok");
        times.push(performance.now() - from);
      }
      rounds.push(times.sort((a, b) => a - b));
    }
    const best = (at: number): number => Math.min(...rounds.map((times) => times[at] ?? 0));
    return { median: best(FETCHES / 2), p99: best(FETCHES - 2) };
  };
  await measure();
  const alone = await measure();
  const rss = process.memoryUsage.rss();
  const request = `GET / HTTP/1.1\r\nHost: ${DENIED}\r\n\r\n`;
  peers.stdin.write(`${JSON.stringify({ ...wanted, hello: clientHello({}).toString("hex"), request })}\n`);
  expect(await next()).toEqual({ arrived: tunnels + kept });
  const grown = (process.memoryUsage.rss() - rss) / 1024 ** 2;
  const beside = await measure();
  const shown = ({ median, p99 }: typeof alone): string => `median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
  await annotate(
    `${tunnels} tunnels and ${kept} kept connections: ${shown(alone)} alone, ${shown(beside)} beside, ${grown.toFixed(0)} MiB`,
  );
  expect(tunnels + kept).toBeGreaterThan(2_000);
  expect(grown).toBeLessThan(MEMORY);
  // the machine may be busy with other things; what one tunnel in ten thousand costs would show as hundreds of ms
  expect(beside.median).toBeLessThan(alone.median * 3 + 25);
  expect(beside.p99).toBeLessThan(alone.p99 * 3 + 100);
}, 240_000);
