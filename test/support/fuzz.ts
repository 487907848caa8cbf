import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, vi } from "vitest";

/** Replay: AGENTKERNEL_FUZZ_SEED=…, with the seed that the failure prints. */
const seed = Number(process.env["AGENTKERNEL_FUZZ_SEED"] ?? 20_261_121);
/** A long run: AGENTKERNEL_FUZZ_RUNS=1000000. */
const wanted = process.env["AGENTKERNEL_FUZZ_RUNS"];

/** inputs between two looks at the memory */
const SLICE = 5_000;
/** MiB that the process may ever take, however many inputs it was given */
const BOUND = 1_024;
/** MiB that may be left of all inputs so far */
const HELD = 256;

// what is only not collected yet is no growth: within some thousand inputs it is hundreds of MiB
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

// a long run is hours
vi.setConfig({ testTimeout: wanted === undefined ? 120_000 : 8 * 3_600_000 });

export type FuzzOptions = {
  /** inputs in the ordinary suite */
  readonly runs: number;
  /** a process or a wait for each input: a long run has no more of them */
  readonly startsProcesses?: boolean;
};

/**
 * Holds a property over many inputs, in slices with seeds of their own, and the memory of the process over all of them: a parser that
 * keeps something of each input is found by its growth.
 * @returns how many inputs there were
 */
export async function fuzz<T>(property: fc.IRawProperty<T>, { runs, startsProcesses = false }: FuzzOptions): Promise<number> {
  const total = wanted === undefined || startsProcesses ? runs : Math.max(runs, Number(wanted));
  const startedAt = performance.now();
  let peak = 0;
  let held = 0;
  for (let done = 0, slice = 0; done < total; done += SLICE, slice += 1) {
    await fc.assert(property, { seed: seed + slice, numRuns: Math.min(SLICE, total - done) });
    peak = Math.max(peak, process.memoryUsage.rss() / 1024 ** 2);
    // handles of the last inputs close in the next turn, and what they held is free in the one after it
    for (let i = 0; i < 2; i += 1) {
      await turn();
      collect();
    }
    const { heapUsed, external } = process.memoryUsage();
    held = Math.max(held, (heapUsed + external) / 1024 ** 2);
    expect(held, "what is held grows with the inputs (MiB)").toBeLessThan(HELD);
    expect(peak, "the memory grows with the inputs (MiB)").toBeLessThan(BOUND);
  }
  if (wanted !== undefined) {
    const name = expect.getState().currentTestName ?? "";
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    process.stderr.write(
      `fuzz: ${name}: ${total} inputs, ${seconds} s, at most ${peak.toFixed(0)} MiB (${held.toFixed(0)} held), seed ${seed}\n`,
    );
  }
  return total;
}

/** Cuts bytes into pieces of these sizes, over and over. */
export function cut(whole: Buffer, at: readonly number[]): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let i = 0, from = 0; from < whole.length; i += 1) {
    const size = at[i % at.length] ?? 1;
    parts.push(whole.subarray(from, from + size));
    from += size;
  }
  return parts;
}
