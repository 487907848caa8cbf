/** Delivery alone: a log with events in it, and the product's own sinks. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { streamSpecs } from "../../src/app/audit/stream-sinks.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { DeliveryEngine } from "../../src/events/delivery/engine.ts";
import type { SinkStatus } from "../../src/events/delivery/sink-spec.ts";
import { openEventLog } from "../../src/events/open-log.ts";
import { silentMetrics } from "../../src/metrics/silent-metrics.ts";
import type { StreamDestination } from "../../src/schema/audit-stream.ts";
import type { NewEvent } from "../../src/schema/event.ts";
import { parameters, serve } from "./program.ts";

export type DeliveryParameters = { readonly home: string };
export type Deliver = { readonly name: string; readonly destination: StreamDestination; readonly isOcsf: boolean };
export type Delivered = { readonly seconds: number; readonly events: number; readonly status: SinkStatus };
export type Append = { readonly events: number; readonly perSecond: number };

const { home } = parameters<DeliveryParameters>();
const [clock, log] = [systemClock, silentLog];
const dir = join(home, "events");
const events = await openEventLog({ dir, keyFile: join(home, "audit.key"), clock, log, hostname: "bench" });
let engine: DeliveryEngine | undefined;

const exchange: NewEvent = {
  type: "egress.exchange",
  outcome: "permit",
  actor: { kind: "sandbox", user_id: "bench" },
  sandbox: "bench",
  sandbox_uuid: "00000000-0000-4000-8000-000000000001",
  labels: { team: "bench" },
  method: "POST",
  url: "https://api.openai.com/v1/chat/completions",
  host: "api.openai.com",
  port: 443,
  status: 200,
  decision: "allow",
  rule: "default",
  reason: "api.openai.com is allowed.",
  policy: { id: "moderate", version: 1 },
  protocol: "h2",
  inspected: true,
  secret_injected: true,
  bytes_in: 5_120,
  bytes_out: 740,
  latency_ms: 38.2,
  end: "complete",
  provider: "openai",
};

/** At once, or at a rate. */
async function append({ events: count, perSecond }: Append): Promise<void> {
  const startedAt = performance.now();
  for (let done = 0; done < count; ) {
    const due = perSecond === 0 ? done + 500 : Math.floor(((performance.now() - startedAt) / 1000) * perSecond);
    const batch: Promise<unknown>[] = [];
    for (; done < Math.min(count, due); done += 1) batch.push(events.append(exchange));
    await Promise.all(batch);
    if (perSecond > 0) await delay(2);
  }
  await events.flush();
}

/** Everything in the log to one destination, from the beginning until nothing is left. */
async function deliver(request: Deliver): Promise<Delivered> {
  await begin(request);
  const startedAt = performance.now();
  return await rest(startedAt);
}

/** Begins to deliver, and leaves it to it. */
async function begin({ name, destination, isOcsf }: Deliver): Promise<void> {
  await engine?.[Symbol.asyncDispose]();
  const stream = { name, destination, batchSize: 1_000, flushMs: 0, maxRetries: 3, ocsfVersion: isOcsf ? "1.8.0" : null } as const;
  const secret = (text: unknown): Promise<string> => Promise.resolve(String(text));
  const specs = streamSpecs([stream], { config: null, secret, stdout: () => Promise.resolve(), hostname: "bench", clock });
  engine = new DeliveryEngine({
    eventsDir: dir,
    deliveryDir: join(home, "delivery"),
    events,
    report: (event) => events.append(event),
    takeLead: () => ({ [Symbol.dispose]: () => undefined }),
    meter: silentMetrics.delivery,
    clock,
    log,
    timing: { baseMs: 10, maxMs: 100 },
  });
  await engine.configure(specs);
}

async function rest(startedAt = performance.now()): Promise<Delivered> {
  for (;;) {
    const [status] = engine?.status() ?? [];
    if (status === undefined) throw new Error("nothing is delivered");
    if (status.lag === 0) return { seconds: (performance.now() - startedAt) / 1000, events: status.delivered, status };
    await delay(2);
  }
}

function memory(): { readonly heap: number } {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: (heapUsed + external) / 1024 / 1024 };
}

serve({}, { append, deliver, begin, rest: () => rest(), memory }, async () => {
  await engine?.[Symbol.asyncDispose]();
  await events[Symbol.asyncDispose]();
});
