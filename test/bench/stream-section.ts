import type { Bench, Section } from "./context.ts";
import type { Target } from "./connection.ts";
import type { Figure } from "./figures.ts";
import { type GatewayBench, type OurGateway, startGateway, startUpstream } from "./gateway-setup.ts";
import type { BodyLoad, OpenStreams, StreamLoad, StreamResult } from "./load-program.ts";
import { median } from "./figures.ts";

const MIB = 1 << 20;
/** each keeps 64 connections to an origin, so that 1,000 streams find one that stands */
const SANDBOXES = 16;

export const streamSection: Section = {
  name: "streams",
  run: async (bench) => {
    await using stack = new AsyncDisposableStack();
    const setup = await startUpstream(stack, bench.dir);
    const { upstream } = setup;
    const metered = await startGateway(stack, bench.dir, { name: "metered", upstream, isMetering: true, sandboxes: SANDBOXES });
    const unmetered = await startGateway(stack, bench.dir, { name: "unmetered", upstream, isMetering: false, sandboxes: SANDBOXES });
    return [...(await streams(bench, setup, metered, unmetered)), ...(await bodies(bench, setup, metered))];
  },
};

type Round = { readonly first: StreamResult; readonly cpuMs: number; readonly rss: number; readonly peakRss: number };

async function streams(bench: Bench, { load, direct }: GatewayBench, metered: OurGateway, unmetered: OurGateway): Promise<Figure[]> {
  const count = bench.choose(1_000, 100);
  const shape: StreamLoad = { rampMs: bench.choose(2_000, 300), pieces: bench.choose(28, 5), intervalMs: bench.choose(100, 200) };
  const connect = (targets: readonly Target[]) => load.ask("connect", { targets, connections: count } satisfies OpenStreams);
  const through = async (gateway: OurGateway): Promise<Round> => {
    await connect(gateway.llm);
    // all of them are open at once for a moment, so that afterwards each finds a connection to the upstream that stands
    await load.ask<StreamResult>("streams", shape);
    const before = await gateway.state();
    const first = await load.ask<StreamResult>("streams", shape);
    const after = await gateway.state();
    return { first, cpuMs: after.cpuMs - before.cpuMs, rss: after.rss, peakRss: after.peakRss };
  };
  const without = async (): Promise<StreamResult> => {
    await connect([direct]);
    await load.ask<StreamResult>("streams", shape);
    return load.ask<StreamResult>("streams", shape);
  };
  bench.say(`streams: ${count} at once: direct, metered, not metered, in turn`);
  const rounds: { readonly direct: StreamResult; readonly on: Round; readonly off: Round }[] = [];
  for (let i = 0; i < bench.choose(3, 1); i += 1) {
    rounds.push({ direct: await without(), on: await through(metered), off: await through(unmetered) });
  }
  const of = (value: (round: (typeof rounds)[number]) => number): number => median(rounds.map(value));
  const [on, off] = [of(({ on: one }) => one.cpuMs), of(({ off: one }) => one.cpuMs)];
  const how = `${count} streams of ${shape.pieces} events, one every ${shape.intervalMs} ms, all open at once over ${SANDBOXES} sandboxes, begun evenly over ${shape.rampMs} ms, every connection to gateway and upstream standing already; TLS on both sides, recorded; median of the rounds`;
  const direct99 = of(({ direct: one }) => one.p99);
  return [
    {
      section: "gateway, SSE",
      name: `first byte added, ${count} concurrent metered streams`,
      unit: "ms",
      ours: { p50: of((round) => round.on.first.p50 - round.direct.p50), p99: of((round) => round.on.first.p99) - direct99 },
      samples: count * rounds.length,
      target: { of: "p99", atMost: 5 },
      peers: [{ name: "direct (whole)", values: { p50: of(({ direct: one }) => one.p50), p99: direct99 } }],
      how,
    },
    {
      section: "gateway, SSE",
      name: "share of metering in the gateway's CPU time",
      unit: "%",
      ours: { value: ((on - off) / on) * 100 },
      samples: rounds.length * 2,
      target: { of: "value", atMost: 10 },
      peers: [{ name: "CPU ms with, without metering", values: { with: on, without: off } }],
      how: `user and system time of the gateway's process with [llm] enabled and not, A B A B; ${how}`,
    },
    {
      section: "gateway, SSE",
      name: `resident memory of the gateway's process, ${count} concurrent streams`,
      unit: "MiB",
      ours: Object.fromEntries([
        ...rounds.map((round, i): [string, number] => [`peak of round ${i + 1}`, round.on.peakRss / MIB]),
        ["highest", Math.max(...rounds.map((round) => round.on.peakRss)) / MIB],
      ]),
      samples: rounds.length,
      target: { of: "highest", atMost: 200 },
      how: `sampled every 20 ms; ${how}`,
    },
  ];
}

async function bodies(bench: Bench, { load, direct }: GatewayBench, gateway: OurGateway): Promise<Figure[]> {
  const [llm] = gateway.llm;
  if (llm === undefined) throw new Error("the gateway has no listener");
  const figures: Figure[] = [];
  const bytes = bench.choose(30, 4) * 1_000_000;
  const cases = [
    { kind: "download", name: "30 MB response", target: gateway.plain },
    { kind: "upload", name: "30 MB request", target: gateway.plain },
    { kind: "model upload", name: "30 MB model request, read before it is sent", target: llm },
  ] as const;
  for (const { kind, name, target } of cases) {
    bench.say(`large bodies: ${name}`);
    const run = async (to: Target, times: number) =>
      (await load.ask<{ mbPerSecond: readonly number[] }>("bodies", { target: to, bytes, times, kind } satisfies BodyLoad)).mbPerSecond;
    for (const to of [direct, target]) await run(to, bench.choose(5, 1));
    const idle = await gateway.state();
    const speeds: { direct: number[]; ours: number[] } = { direct: [], ours: [] };
    for (let round = 0; round < bench.choose(4, 1); round += 1) {
      speeds.direct.push(...(await run(direct, bench.choose(5, 2))));
      speeds.ours.push(...(await run(target, bench.choose(5, 2))));
    }
    const used = await gateway.state();
    figures.push({
      section: "gateway, large bodies",
      name,
      unit: "MB/s",
      ours: { p50: median(speeds.ours), "peak memory added (MiB)": (used.peakRss - idle.rss) / MIB },
      samples: speeds.ours.length,
      target: { of: "p50", atLeast: 300 },
      peers: [{ name: "direct", values: { p50: median(speeds.direct) } }],
      how: `${bytes / 1e6} MB, one after another on one connection, TLS on both sides, A B A B; memory is the highest resident size less that before, sampled every 20 ms`,
    });
  }
  return figures;
}
