import { startChild } from "./child.ts";
import type { Bench, Section } from "./context.ts";
import { type Figure, median, percentiles } from "./figures.ts";
import type { Lifecycle, Memory } from "./sandbox-program.ts";
import { type Runner, runners } from "./users.ts";

const SECTION = "sandbox, bubblewrap";
const THROUGH =
  "through the app as a library, in a process of its own: gateway attached, profile moderate, no workspace, event log and state on disk";

export const sandboxSection: Section = {
  name: "sandbox",
  run: async (bench) => {
    const figures: Figure[] = [];
    for (const runner of await runners(bench)) figures.push(...(await measure(bench, runner)));
    return figures;
  },
};

async function measure(bench: Bench, { name: who, owner, home }: Runner): Promise<Figure[]> {
  await using program = await startChild<object>(
    "sandbox-program.ts",
    { home },
    { env: { HOME: home }, nodeArguments: ["--expose-gc"], ...(owner === undefined ? {} : { owner }) },
  );
  bench.say(`sandbox as ${who}: lifecycle`);
  const counts = { warmUp: bench.choose(10, 2), times: bench.choose(100, 5) };
  const lifecycle = await program.ask<Lifecycle>("lifecycle", counts);
  bench.say(`sandbox as ${who}: exec, parallel execs and runs, memory`);
  const execs = await program.ask<readonly number[]>("execs", { warmUp: bench.choose(20, 2), times: bench.choose(200, 5) });
  const several = async (question: string, argument: object): Promise<number[]> => {
    const durations: number[] = [];
    for (let i = 0; i < bench.choose(6, 2); i += 1) durations.push(await program.ask<number>(question, argument));
    return durations.slice(1);
  };
  const together = await several("parallelExecs", { count: 8, command: ["sleep", "0.2"] });
  const runs = await several("parallelRuns", { count: 16, command: ["sleep", "0.3"] });
  const idle = await program.ask<Memory>("memory", { count: bench.choose(50, 3) });
  return [
    {
      section: SECTION,
      name: `create → first output → removed, as ${who}`,
      unit: "ms",
      ours: percentiles(lifecycle.ours, 50, 95, 99),
      samples: lifecycle.ours.length,
      target: { of: "p50", atMost: 15 },
      peers: [{ name: "plain bwrap spawned from Node", values: percentiles(lifecycle.plain, 50, 95, 99) }],
      how: `\`echo\` in a fresh sandbox ${THROUGH}, nothing made beforehand; in turn with bwrap (namespaces and a root only: no network, limits or record)`,
    },
    {
      section: SECTION,
      name: `exec in a running sandbox, as ${who}`,
      unit: "ms",
      ours: percentiles(execs, 50, 95),
      samples: execs.length,
      target: { of: "p50", atMost: 5 },
      how: `\`true\`, from the call to its known exit, ${THROUGH}; the launch is on disk before the command starts`,
    },
    {
      section: SECTION,
      name: `8 execs of \`sleep 0.2\` at once in one sandbox, as ${who}`,
      unit: "ms",
      ours: { value: median(together) },
      samples: together.length,
      target: { of: "value", atMost: 300 },
      how: `until the last has ended, ${THROUGH}; median of the rounds`,
    },
    {
      section: SECTION,
      name: `16 runs of \`sleep 0.3\` at once, as ${who}`,
      unit: "ms",
      ours: { value: median(runs) },
      samples: runs.length,
      target: { of: "value", atMost: 500 },
      how: `16 fresh sandboxes, until the last command has ended, ${THROUGH}; median of the rounds`,
    },
    {
      section: SECTION,
      name: `host memory of one idle sandbox, as ${who}`,
      unit: "MiB",
      ours: {
        value: idle.perSandboxBytes / 2 ** 20,
        "its processes": idle.processesBytes / 2 ** 20,
        "our growth": idle.ownBytes / 2 ** 20,
      },
      samples: bench.choose(50, 3),
      target: { of: "value", atMost: 3 },
      how: "proportional set size (smaps_rollup) of every process of the idle sandboxes, and what our own process grew by, divided by their number; kernel memory is not in it",
    },
  ];
}
