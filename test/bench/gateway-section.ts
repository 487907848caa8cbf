import type { Bench, Section } from "./context.ts";
import type { Target } from "./connection.ts";
import { type Figure, median, type Peer } from "./figures.ts";
import { type GatewayBench, startGateway, startUpstream } from "./gateway-setup.ts";
import { closedRounds, type Contender, type Measured, type Rounds, tryPeer } from "./gateway-rounds.ts";
import type { Latency, OpenLoad } from "./load-program.ts";
import { type RunningPeer, startMitmproxy, startMockttp, startNginx } from "./peers.ts";

const SECTION = "gateway, JSON exchange";
const CONDITIONS =
  "TLS on both sides, keep-alive, one POST of a chat request and its answer; client, upstream and every gateway are processes of their own on loopback; ours decides by policy, puts the key in, meters, prices, and writes event log and ledger to disk";

export const gatewaySection: Section = {
  name: "gateway",
  run: async (bench) => {
    await using stack = new AsyncDisposableStack();
    const setup = await startUpstream(stack, bench.dir);
    const ours = await startGateway(stack, bench.dir, { name: "gateway", upstream: setup.upstream, isMetering: true, sandboxes: 1 });
    const peers: readonly RunningPeer[] = [
      await tryPeer("mockttp", () => startMockttp(stack, setup.upstream)),
      await tryPeer("nginx", () => startNginx(stack, bench.dir, setup.upstream, setup.own)),
      await tryPeer("mitmproxy", () => startMitmproxy(stack, bench.dir, setup.upstream)),
    ];
    const [target] = ours.llm;
    if (target === undefined) throw new Error("the gateway has no listener");
    const contenders: readonly Contender[] = [
      { name: "direct", target: setup.direct, isPeer: false },
      { name: "ours", target, isPeer: false },
      ...peers.flatMap((peer) => ("target" in peer ? [{ ...peer, isPeer: true }] : [])),
    ];
    // many first: one connection alone takes long to have everything compiled
    const many = await closedRounds(bench, setup, contenders, 32);
    const one = await closedRounds(bench, setup, contenders, 1);
    const figures = [addedAtOne(one, peers), ...throughput(many, peers), await pacedFigure(bench, setup, target)];
    const sent = of(one, "ours").count + of(many, "ours").count;
    const { recorded } = await ours.state();
    // a gateway that records nothing would be quick
    if (recorded < sent) throw new Error(`${recorded} events were recorded for ${sent} exchanges`);
    return figures;
  },
};

function of(measured: Measured, name: string): Rounds {
  const found = measured.rounds.get(name);
  if (found === undefined) throw new Error(`${name} was not measured`);
  return found;
}

function peersOf(measured: Measured, peers: readonly RunningPeer[], values: (one: Rounds) => Record<string, number>): Peer[] {
  return peers.map((peer) => {
    if ("absent" in peer) return peer;
    const failed = measured.failed.get(peer.name);
    return failed === undefined ? { name: peer.name, values: values(of(measured, peer.name)) } : { name: peer.name, absent: failed };
  });
}

function addedAtOne(rounds: Measured, peers: readonly RunningPeer[]): Figure {
  const direct = median(of(rounds, "direct").p50);
  const added = (one: Rounds) => ({ p50: median(one.p50) - direct });
  return {
    section: SECTION,
    name: "latency added, 1 connection",
    unit: "ms",
    ours: added(of(rounds, "ours")),
    samples: of(rounds, "ours").count,
    target: { of: "p50", atMost: 0.25 },
    peers: [{ name: "direct (whole)", values: { p50: direct } }, ...peersOf(rounds, peers, added)],
    how: `median of the rounds' p50, less that of direct; ${CONDITIONS}`,
  };
}

/** The same figure against each peer, since each has a bound of its own. */
function throughput(rounds: Measured, peers: readonly RunningPeer[]): Figure[] {
  const rate = (one: Rounds) => ({ value: median(one.rps) });
  const all: Peer[] = [{ name: "direct", values: rate(of(rounds, "direct")) }, ...peersOf(rounds, peers, rate)];
  const against = [
    { peer: "mockttp", factor: 3 },
    { peer: "nginx", factor: 0.5 },
    { peer: "mitmproxy", factor: 10 },
  ];
  return against.map((times, i) => ({
    section: SECTION,
    name: `throughput, 32 connections, against ${times.peer}`,
    unit: "requests/s",
    ours: rate(of(rounds, "ours")),
    samples: of(rounds, "ours").count,
    target: { of: "value", times },
    peers: i === 0 ? all : all.filter(({ name }) => name.startsWith(times.peer)),
    how: `median of the rounds; ${CONDITIONS}`,
  }));
}

/** Requests that come at their own times: what a queue in the gateway would show. */
async function pacedFigure(bench: Bench, { load, direct }: GatewayBench, target: Target): Promise<Figure> {
  bench.say("gateway: 500 requests a second");
  const run = (to: Target) =>
    load.ask<Latency>("paced", { target: to, connections: 64, rps: 500, durationMs: bench.choose(4_000, 500) } satisfies OpenLoad);
  const pairs: { readonly direct: Latency; readonly ours: Latency }[] = [];
  for (let round = 0; round < bench.choose(3, 1); round += 1) pairs.push({ direct: await run(direct), ours: await run(target) });
  const part = (side: "direct" | "ours", key: "p50" | "p99") => median(pairs.map((pair) => pair[side][key]));
  return {
    section: SECTION,
    name: "latency added, 500 requests/s",
    unit: "ms",
    ours: { p50: part("ours", "p50") - part("direct", "p50"), p99: part("ours", "p99") - part("direct", "p99") },
    samples: pairs.reduce((sum, pair) => sum + pair.ours.count, 0),
    target: { of: "p99", atMost: 5 },
    peers: [{ name: "direct (whole)", values: { p50: part("direct", "p50"), p99: part("direct", "p99") } }],
    how: `requests start at fixed times on up to 64 connections and count from the time they were due; A B A B, median of the rounds; ${CONDITIONS}`,
  };
}
