import { messageOf } from "../../src/base/error.ts";
import type { Target } from "./connection.ts";
import type { Bench } from "./context.ts";
import type { GatewayBench } from "./gateway-setup.ts";
import type { ClosedLoad, Latency } from "./load-program.ts";
import type { RunningPeer } from "./peers.ts";

/** `isPeer`: its faults cost its own figures and nobody else's. */
export type Contender = { readonly name: string; readonly target: Target; readonly isPeer: boolean };

export type Rounds = { readonly count: number; readonly p50: readonly number[]; readonly rps: readonly number[] };

/** What each reached, and why a peer reached nothing. */
export type Measured = { readonly rounds: ReadonlyMap<string, Rounds>; readonly failed: ReadonlyMap<string, string> };

/** A peer that cannot start is absent, with the reason. */
export async function tryPeer(name: string, start: () => Promise<RunningPeer>): Promise<RunningPeer> {
  try {
    return await start();
  } catch (error) {
    return { name, absent: `did not start: ${messageOf(error)}` };
  }
}

/** Every contender in turn, several rounds, so that what else the machine does falls on all of them: A B C A B C. */
export async function closedRounds(
  bench: Bench,
  { load }: GatewayBench,
  contenders: readonly Contender[],
  connections: number,
): Promise<Measured> {
  bench.say(`gateway: ${contenders.map(({ name }) => name).join(", ")} at ${connections} connection(s)`);
  const rounds = new Map<string, Rounds>();
  const failed = new Map<string, string>();
  const run = async ({ name, target, isPeer }: Contender, durationMs: number): Promise<Latency | undefined> => {
    if (failed.has(name)) return undefined;
    try {
      return await load.ask<Latency>("closed", { target, connections, durationMs } satisfies ClosedLoad);
    } catch (error) {
      if (!isPeer) throw error;
      failed.set(name, `failed: ${messageOf(error).slice(0, 200)}`);
      rounds.delete(name);
      return undefined;
    }
  };
  for (const contender of contenders) await warmUp(bench, (durationMs) => run(contender, durationMs));
  for (let round = 0; round < bench.choose(4, 1); round += 1) {
    for (const contender of contenders) {
      const latency = await run(contender, bench.choose(2_000, 300));
      if (latency === undefined) continue;
      const { count, p50, rps } = latency;
      const before = rounds.get(contender.name) ?? { count: 0, p50: [], rps: [] };
      rounds.set(contender.name, { count: before.count + count, p50: [...before.p50, p50], rps: [...before.rps, rps] });
    }
  }
  return { rounds, failed };
}

/** windows of one second without a new best rate after which nothing more is compiled */
const STEADY = 2;
const MIN_WARM = 4;
const MAX_WARM = 12;

/** Runs until it gets no faster: what is measured before the compiler is done is the compiler. */
async function warmUp(bench: Bench, run: (durationMs: number) => Promise<Latency | undefined>): Promise<void> {
  let best = 0;
  let bestAt = 0;
  for (let i = 1; i <= bench.choose(MAX_WARM, 1); i += 1) {
    const latency = await run(bench.choose(1_000, 300));
    if (latency === undefined || (i >= MIN_WARM && i - bestAt >= STEADY)) return;
    if (latency.rps <= best * 1.03) continue;
    best = latency.rps;
    bestAt = i;
  }
}
