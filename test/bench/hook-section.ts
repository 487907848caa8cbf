import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../support/free-port.ts";
import { type Behaviour, OK, type Received, receiver } from "../support/receiver.ts";
import type { Target } from "./connection.ts";
import type { Bench, Section } from "./context.ts";
import { type Figure, median } from "./figures.ts";
import { type GatewayBench, type OurGateway, startGateway, startUpstream } from "./gateway-setup.ts";
import type { Latency, OpenLoad } from "./load-program.ts";

const SECTION = "hooks";
const RPS = 200;

/** What a receiver does before it comes to its senses. */
const MISBEHAVIOURS: readonly { readonly name: string; readonly act: ((count: number) => Behaviour) | "down" }[] = [
  { name: "down", act: "down" },
  { name: "hanging", act: () => "hang" },
  { name: "answering 503", act: () => ({ status: 503, headers: { "retry-after": "0" } }) },
  { name: "resetting", act: () => "reset" },
  { name: "redirecting", act: () => ({ status: 302, headers: { location: "http://127.0.0.1:9/" } }) },
  { name: "taking events and failing all the same", act: (count) => (count % 2 === 0 ? { status: 500 } : OK) },
];

export const hookSection: Section = {
  name: "hooks",
  run: async (bench) => {
    await using stack = new AsyncDisposableStack();
    const setup = await startUpstream(stack, bench.dir);
    const ours = await startGateway(stack, bench.dir, { name: "hooked", upstream: setup.upstream, isMetering: true, sandboxes: 1 });
    const [target] = ours.llm;
    if (target === undefined) throw new Error("the gateway has no listener");
    const figures: Figure[] = [await besideDead(bench, setup, ours, target)];
    for (const { name, act } of MISBEHAVIOURS) figures.push(await afterAll(bench, setup, ours, target, name, act));
    return figures;
  },
};

/** The gateway's latency with a hook whose receiver is dead, and without a hook, in turn. */
async function besideDead(bench: Bench, { load }: GatewayBench, ours: OurGateway, target: Target): Promise<Figure> {
  bench.say("hooks: 500 requests a second with a dead receiver and without a hook");
  const dead = `http://127.0.0.1:${(await freePort()).port}/`;
  const run = () =>
    load.ask<Latency>("paced", { target, connections: 64, rps: 500, durationMs: bench.choose(4_000, 400) } satisfies OpenLoad);
  const pairs: { readonly without: Latency; readonly beside: Latency }[] = [];
  await run();
  for (let round = 0; round < bench.choose(5, 1); round += 1) {
    await ours.hook(null);
    const without = await run();
    await ours.hook({ name: "dead", url: dead });
    pairs.push({ without, beside: await run() });
  }
  await ours.hook(null);
  const part = (side: "without" | "beside", key: "p50" | "p99") => median(pairs.map((pair) => pair[side][key]));
  return {
    section: SECTION,
    name: "latency added by a hook whose receiver is dead",
    unit: "ms",
    ours: { p50: part("beside", "p50") - part("without", "p50"), p99: part("beside", "p99") - part("without", "p99") },
    samples: pairs.reduce((sum, { beside }) => sum + beside.count, 0),
    target: { of: "p99", atMost: 1 },
    peers: [
      { name: "with it (whole)", values: { p50: part("beside", "p50"), p99: part("beside", "p99") } },
      { name: "without a hook (whole)", values: { p50: part("without", "p50"), p99: part("without", "p99") } },
    ],
    how: "500 requests a second through the gateway, A B A B, median of the rounds; delivery runs in the gateway's process, as in `serve`",
  };
}

/** Events of requests that were made while the receiver misbehaved, counted when it had recovered. */
async function afterAll(
  bench: Bench,
  { load }: GatewayBench,
  ours: OurGateway,
  target: Target,
  name: string,
  act: ((count: number) => Behaviour) | "down",
): Promise<Figure> {
  bench.say(`hooks: a receiver that is ${name}`);
  const { port } = await freePort();
  const misbehaving = act === "down" ? undefined : await receiver({ port });
  const accepted: Received[] = [];
  const answer = (next: (count: number) => Behaviour) => (request: Received, count: number) => {
    const behaviour = next(count);
    // what is answered with 500 was taken all the same
    if (typeof behaviour === "object" && (behaviour.status === 200 || behaviour.status === 500)) accepted.push(request);
    return behaviour;
  };
  if (act !== "down") misbehaving?.behave(answer(act));
  const hook = name.replaceAll(" ", "-");
  await ours.hook({ name: hook, url: `http://127.0.0.1:${port}/in` });
  await load.ask<Latency>("paced", { target, connections: 16, rps: RPS, durationMs: bench.choose(4_000, 400) } satisfies OpenLoad);
  const { retries } = await ours.hookState();
  await using late = misbehaving ?? (await receiver({ port }));
  late.behave(answer(() => OK));
  const until = performance.now() + 60_000;
  // a receiver that hangs is given up by its own deadline only
  if (name === "hanging") await ours.hook({ name: hook, url: `http://127.0.0.1:${port}/in?again` });
  for (let state = await ours.hookState(); state.lag > 0; state = await ours.hookState()) {
    if (performance.now() > until) throw new Error(`${name}: ${state.lag} events were not delivered`);
    await delay(20);
  }
  const { expected } = await ours.hookState();
  await ours.hook(null);
  const bodies = new Map<string, string>();
  let repeated = 0;
  let unequal = 0;
  for (const { body } of accepted) {
    for (const event of JSON.parse(body) as readonly { readonly id: string }[]) {
      const text = JSON.stringify(event);
      const before = bodies.get(event.id);
      if (before !== undefined) repeated += 1;
      if (before !== undefined && before !== text) unequal += 1;
      bodies.set(event.id, text);
    }
  }
  return {
    section: SECTION,
    name: `lost, with a receiver that was ${name}`,
    unit: "events",
    ours: { value: Math.max(0, expected - bodies.size) + unequal, repeated },
    samples: bodies.size,
    target: { of: "value", atMost: 0 },
    peers: [{ name: "tries that failed", values: { value: retries } }],
    how: "events of requests at 200 a second while the receiver misbehaved, which came after it had recovered; lost: those that never came, and repetitions that were not the same event; repeated: those that came again with the same id",
  };
}
