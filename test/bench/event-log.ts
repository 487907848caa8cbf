import { rm } from "node:fs/promises";
import { change, logPlace, openAt, verifyAt } from "../support/event-log.ts";

export type EventLogFigures = {
  /** open-loop load of durable events at this rate */
  readonly offeredPerSecond: number;
  readonly achievedPerSecond: number;
  /** ms from append to acknowledgement */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** durable events in batches of 1,000, each awaited */
  readonly batchedPerSecond: number;
  readonly verifiedPerSecond: number;
  readonly bytesPerEvent: number;
};

/** The figures of the audit log on this machine's temporary directory; `quality.md` asks for p99 ≤ 25 ms, 50,000/s and 100,000/s. */
export async function measureEventLog(
  options: { readonly perSecond?: number; readonly seconds?: number; readonly batches?: number } = {},
): Promise<EventLogFigures> {
  const { perSecond = 5000, seconds = 6, batches = 100 } = options;
  await using place = await logPlace();
  const event = (index: number) => change(`r${index}`, { reason: "x".repeat(2200) });
  const latencies: number[] = [];
  const log = await openAt(place);
  const total = perSecond * seconds;
  const startedMs = performance.now();
  const appends: Promise<void>[] = [];
  while (appends.length < total) {
    const due = Math.min(total, ((performance.now() - startedMs) / 1000) * perSecond);
    while (appends.length < due) {
      const sentMs = performance.now();
      appends.push(log.append(event(appends.length)).then(() => void latencies.push(performance.now() - sentMs)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(appends);
  const achievedPerSecond = (total / (performance.now() - startedMs)) * 1000;
  await log[Symbol.asyncDispose]();
  await rm(place.dir, { recursive: true });

  const second = await openAt(place);
  const batchedMs = performance.now();
  for (let batch = 0; batch < batches; batch += 1)
    await Promise.all(Array.from({ length: 1000 }, (_, index) => second.append(event(index))));
  const batchedPerSecond = ((batches * 1000) / (performance.now() - batchedMs)) * 1000;
  await second[Symbol.asyncDispose]();

  const verifyMs = performance.now();
  const report = await verifyAt(place);
  const verifiedPerSecond = (report.events / (performance.now() - verifyMs)) * 1000;
  if (report.exit !== 0) throw new Error(`the log of the measurement does not verify: ${JSON.stringify(report)}`);
  // the first second warms up
  const sorted = latencies.slice(perSecond).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return {
    offeredPerSecond: perSecond,
    achievedPerSecond,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
    batchedPerSecond,
    verifiedPerSecond,
    bytesPerEvent: report.bytes / report.events,
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await measureEventLog(), null, 2)}\n`);
