import { join } from "node:path";
import { isFor } from "../../src/app/hooks/hook-filter.ts";
import { hookSpec } from "../../src/app/hooks/hook-sinks.ts";
import type { Clock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { DeliveryEngine } from "../../src/events/delivery/engine.ts";
import type { ChainedEventLog } from "../../src/events/log.ts";
import { silentMetrics } from "../../src/metrics/silent-metrics.ts";
import type { Hook } from "../../src/schema/hook.ts";

export type HookState = { readonly expected: number; readonly lag: number; readonly retries: number };

/** One `on_response` hook beside the gateway of the bench, as `serve` has it: in the same process, fed from the log on disk. */
export type HookDelivery = AsyncDisposable & {
  /** events from now on go there; null: there is no hook */
  readonly to: (target: { readonly name: string; readonly url: string } | null) => Promise<void>;
  readonly state: () => HookState;
};

export function hookDelivery(options: { readonly home: string; readonly events: ChainedEventLog; readonly clock: Clock }): HookDelivery {
  const { home, events, clock } = options;
  let hook: Hook | undefined;
  let [expected, createdMs] = [0, 0];
  const unsubscribe = events.subscribe((event) => {
    // what happened before the hook was there may be written after, and is not for it
    if (hook !== undefined && isFor(hook, event) && Date.parse(event.timestamp) >= createdMs) expected += 1;
  });
  const engine = new DeliveryEngine({
    eventsDir: join(home, "events"),
    deliveryDir: join(home, "delivery"),
    events,
    report: (event) => events.append(event),
    takeLead: () => ({ [Symbol.dispose]: () => undefined }),
    meter: silentMetrics.delivery,
    clock,
    log: silentLog,
    timing: { maxMs: 2_000 },
  });
  return {
    to: async (target) => {
      // the same hook at another address goes on
      if (target === null || hook?.name !== target.name) [expected, createdMs] = [0, clock.now()];
      hook =
        target === null
          ? undefined
          : {
              name: target.name,
              event: "on_response",
              target: { type: "webhook", url: target.url },
              mode: "notify",
              timeout_ms: 2_000,
              cache_ttl: 0,
              batch: 100,
            };
      const sinks = {
        secret: (text: unknown) => Promise.resolve(String(text)),
        report: (event: Parameters<ChainedEventLog["append"]>[0]) => events.append(event),
        filesDir: home,
        fileDirs: [],
        allowPrivate: true,
        ownAddresses: () => [],
        clock,
      };
      await engine.configure(hook === undefined ? [] : [hookSpec({ hook, file: "bench.toml", createdMs }, sinks)]);
    },
    state: () => {
      const [status] = engine.status();
      return { expected, lag: status?.lag ?? 0, retries: status?.retries ?? 0 };
    },
    [Symbol.asyncDispose]: async () => {
      unsubscribe();
      await engine[Symbol.asyncDispose]();
    },
  };
}
