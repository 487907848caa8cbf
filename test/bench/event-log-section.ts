import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startChild } from "./child.ts";
import type { Section } from "./context.ts";
import { median, percentiles } from "./figures.ts";

const SECTION = "event log";

export const eventLogSection: Section = {
  name: "event-log",
  run: async (bench) => {
    const home = join(bench.dir, "event-log");
    mkdirSync(home, { mode: 0o700 });
    await using program = await startChild<object>("event-log-program.ts", { dir: join(home, "events"), keyFile: join(home, "audit.key") });
    bench.say("event log: 5,000 durable appends a second, batches, verify");
    await program.ask("paced", { perSecond: 5_000, durationMs: bench.choose(1_000, 100) });
    const latencies = await program.ask<readonly number[]>("paced", { perSecond: 5_000, durationMs: bench.choose(5_000, 300) });
    await program.ask("batches", { size: 1_000, times: bench.choose(20, 2) });
    const rates = await program.ask<readonly number[]>("batches", { size: 1_000, times: bench.choose(100, 3) });
    const verified = await program.ask<{ rates: readonly number[]; events: number }>("verify", { times: bench.choose(5, 1) });
    return [
      {
        section: SECTION,
        name: "append, durable, 5,000 events/s",
        unit: "ms",
        ours: percentiles(latencies, 50, 95, 99),
        samples: latencies.length,
        target: { of: "p99", atMost: 25 },
        how: "from the time at which an event was due to the resolution of its append, which is after the fdatasync of its group; hash-chained, in a process of its own",
      },
      {
        section: SECTION,
        name: "append in batches of 1,000, durable",
        unit: "events/s",
        ours: { value: median(rates), p5: percentiles(rates, 5).p5 },
        samples: rates.length,
        target: { of: "value", atLeast: 50_000 },
        how: "1,000 appends at once, awaited together, one batch after another; median of the batches",
      },
      {
        section: SECTION,
        name: "verify",
        unit: "events/s",
        ours: { value: median(verified.rates) },
        samples: verified.rates.length,
        target: { of: "value", atLeast: 100_000 },
        how: `every hash of a log of ${verified.events} events, read from the page cache; median of the passes`,
      },
    ];
  },
};
