import { type Clock, timestamp } from "../base/clock.ts";
import { VERSION } from "../base/version.ts";
import type { StatePaths } from "../config/paths.ts";
import type { ChainedEventLog } from "../events/log.ts";
import type { Backend } from "../sandbox/backend.ts";
import type { SandboxRecord } from "../sandbox/record.ts";
import type { StatusReport } from "../schema/api.ts";
import type { StreamStatus } from "../schema/delivery.ts";
import type { Store } from "../store/open-store.ts";

export function createStatus(options: {
  readonly startedAt: number;
  readonly paths: StatePaths;
  readonly configFile: string | null;
  readonly store: Store<SandboxRecord>;
  readonly events: ChainedEventLog;
  readonly backends: ReadonlyMap<string, Backend>;
  readonly streams: () => readonly StreamStatus[];
  readonly clock: Clock;
}): () => Promise<StatusReport> {
  return async () => {
    const states: Record<string, number> = {};
    for (const { state } of options.store.sandboxes.list()) states[state] = (states[state] ?? 0) + 1;
    const backends: StatusReport["backends"] = {};
    for (const [name, backend] of options.backends) {
      const report = await backend.probe(AbortSignal.timeout(30_000));
      const missing = report.checks.find((check) => check.required && !check.ok);
      backends[name] = { available: report.available, ...(missing === undefined ? {} : { detail: `${missing.name}: ${missing.detail}` }) };
    }
    const { appended, durableLagMs } = options.events.stats();
    return {
      version: VERSION,
      pid: process.pid,
      started_at: timestamp(options.startedAt),
      uptime_ms: options.clock.now() - options.startedAt,
      state_dir: options.paths.state,
      config_file: options.configFile,
      backends,
      sandboxes: states,
      streams: [...options.streams()],
      audit: { appended, durable_lag_ms: durableLagMs, writable: options.events.health().isWritable },
    };
  };
}
