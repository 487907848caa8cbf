import type { Metrics } from "./metrics.ts";

const nothing = (): void => undefined;

/** For processes whose metrics nobody can read: one command line, from start to end. */
export const silentMetrics: Metrics = {
  text: () => Promise.resolve(""),
  contentType: "text/plain; version=0.0.4; charset=utf-8",
  exchange: nothing,
  decision: nothing,
  llm: nothing,
  finding: nothing,
  connectionOpened: nothing,
  connectionClosed: nothing,
  overhead: nothing,
  tlsHandshake: nothing,
  certificateMinted: nothing,
  certificateCache: nothing,
  upstreamConnect: nothing,
  upstreamRetry: nothing,
  llmStarted: nothing,
  llmEnded: nothing,
  budget: nothing,
  budgetDenied: nothing,
  secretInjected: nothing,
  secretBlocked: nothing,
  sandboxStarted: nothing,
  sandboxStartFailed: nothing,
  sandboxEnded: nothing,
  sandboxes: nothing,
  execEnded: nothing,
  removeSandbox: nothing,
  eventsAppended: nothing,
  eventsFsync: nothing,
  eventsFailed: nothing,
  delivery: { attempt: nothing, delivered: nothing, deadLettered: nothing, dropped: nothing, gauges: nothing },
  apiRequest: nothing,
};
