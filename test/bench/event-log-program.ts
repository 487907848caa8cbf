/** The event log alone, in a process of its own. */
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { openEventLog } from "../../src/events/open-log.ts";
import { verifyEventLog } from "../../src/events/verify-log.ts";
import type { NewEvent } from "../../src/schema/event.ts";
import { parameters, serve } from "./program.ts";

const { dir, keyFile } = parameters<{ readonly dir: string; readonly keyFile: string }>();
const open = () => openEventLog({ dir, keyFile, clock: systemClock, log: silentLog, hostname: "bench" });
let log = await open();

/** a lifecycle event: its append resolves after the fdatasync */
const durable: NewEvent = {
  type: "sandbox.operation",
  operation: "create",
  outcome: "permit",
  actor: { kind: "system", user_id: "agentkernel" },
  sandbox: "bench",
  sandbox_uuid: "00000000-0000-4000-8000-000000000001",
  backend: "bubblewrap",
  profile: "moderate",
};

/** ms from append to durable, events arriving at their own times */
async function paced({ perSecond, durationMs }: { readonly perSecond: number; readonly durationMs: number }): Promise<readonly number[]> {
  const latencies: number[] = [];
  const under: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let sent = 0; ; ) {
    const now = performance.now();
    if (now - startedAt > durationMs) break;
    for (; startedAt + (sent * 1000) / perSecond <= now; sent += 1) {
      const due = startedAt + (sent * 1000) / perSecond;
      under.push(log.append(durable).then(() => void latencies.push(performance.now() - due)));
    }
    await delay(1);
  }
  await Promise.all(under);
  return latencies;
}

/** events/s of batches that are awaited as a whole */
async function batches({ size, times }: { readonly size: number; readonly times: number }): Promise<readonly number[]> {
  const rates: number[] = [];
  for (let i = 0; i < times; i += 1) {
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: size }, () => log.append(durable)));
    rates.push((size / (performance.now() - startedAt)) * 1000);
  }
  return rates;
}

/** events/s of a check of everything that was written */
async function verify({ times }: { readonly times: number }): Promise<{ readonly rates: readonly number[]; readonly events: number }> {
  await log[Symbol.asyncDispose]();
  const rates: number[] = [];
  let events = 0;
  for (let i = 0; i < times; i += 1) {
    const startedAt = performance.now();
    const report = await verifyEventLog({ dir });
    if (report.verdict !== "intact") throw new Error(`the log is ${report.verdict}: ${report.detail}`);
    events = report.events;
    rates.push((events / (performance.now() - startedAt)) * 1000);
  }
  log = await open();
  return { rates, events };
}

serve({}, { paced, batches, verify }, async () => await log[Symbol.asyncDispose]());
