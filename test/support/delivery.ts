import type { DeliveryMeter } from "../../src/metrics/metrics.ts";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { DeliveryEngine, type DeliveryOptions } from "../../src/events/delivery/engine.ts";
import type { SinkSpec } from "../../src/events/delivery/sink-spec.ts";
import type { ChainedEventLog } from "../../src/events/log.ts";
import { createHttpClient, type HttpClientOptions } from "../../src/events/sinks/http-client.ts";
import { createHttpWebhook, type HttpWebhookOptions } from "../../src/events/sinks/http-webhook.ts";
import type { LogPlace } from "./event-log.ts";

export const silentMeter: DeliveryMeter = {
  attempt: () => undefined,
  delivered: () => undefined,
  deadLettered: () => undefined,
  dropped: () => undefined,
  gauges: () => undefined,
};

/** a thousandth of the product's own times */
export const QUICK = { baseMs: 1, maxMs: 60, retryAfterMaxMs: 600, pollMs: 20, saveMs: 5 };

export function deliveryDir(place: Pick<LogPlace, "path">): string {
  return join(place.path, "delivery");
}

export function engineAt(place: LogPlace, events: ChainedEventLog, options: Partial<DeliveryOptions> = {}): DeliveryEngine {
  return new DeliveryEngine({
    eventsDir: place.dir,
    deliveryDir: deliveryDir(place),
    events,
    report: (event) => events.append(event),
    takeLead: () => ({ [Symbol.dispose]: () => undefined }),
    meter: silentMeter,
    clock: systemClock,
    log: silentLog,
    timing: QUICK,
    ...options,
  });
}

/** A sink that is given the events themselves. */
export function spec(name: string, open: SinkSpec["open"], fields: Partial<SinkSpec> = {}): SinkSpec {
  return {
    name,
    kind: "stream",
    type: "http_webhook",
    batchSize: 10,
    flushMs: 0,
    maxRetries: 3,
    encode: (event) => [event],
    open,
    ...fields,
  };
}

export function webhook(
  name: string,
  url: string,
  { http, ...fields }: Partial<SinkSpec> & Partial<HttpWebhookOptions> & { readonly http?: HttpClientOptions } = {},
): SinkSpec {
  const { headers = {}, keys = [], body = "array", ...rest } = fields;
  const options: HttpWebhookOptions = { url, headers, keys, body, userAgent: "agentkernel-test", clock: systemClock };
  return spec(name, () => Promise.resolve(createHttpWebhook(options, createHttpClient({ connectMs: 300, totalMs: 500, ...http }))), rest);
}
