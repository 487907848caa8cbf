import type { Event, NewEvent } from "../../schema/event.ts";
import type { Sink } from "../sinks/sink.ts";
import type { BackoffLimits } from "./backoff.ts";

export type EventPlace = { readonly chain: string; readonly seq: number };

export type SinkOwner = { readonly config: string; readonly place: string };

/** A destination and how it wants its events. */
export type SinkSpec = {
  /** names its cursor and its dead letters for ever: another name begins anew */
  readonly name: string;
  readonly kind: "stream" | "hook";
  /** `http_webhook`, `file` … */
  readonly type: string;
  readonly batchSize: number;
  /** ms that an event waits for others; 0: none */
  readonly flushMs: number;
  /** tries that fail in a row before it counts as failing; delivery goes on all the same */
  readonly maxRetries: number;
  /** events before this time are not for it; absent: everything that is retained */
  readonly sinceMs?: number;
  /** absent: every event */
  readonly wanted?: (event: Event) => boolean;
  /** what the destination gets for an event */
  readonly encode: (event: Event, place: EventPlace) => readonly object[];
  /** the configuration it stands in, and where it leads: another configuration may not use its name for another place */
  readonly owner?: SinkOwner;
  /** equal ones are the same sink in every respect; absent: none is */
  readonly fingerprint?: string;
  /** makes the way there; called again after a pause, so that secrets are looked up anew. The signal ends it */
  readonly open: (signal: AbortSignal) => Promise<Sink>;
};

export type DeliveryTiming = BackoffLimits & {
  /** ms between looks at other processes' chains and at requests */
  readonly pollMs: number;
  /** ms between writes of a cursor */
  readonly saveMs: number;
};

export const DELIVERY_TIMING: DeliveryTiming = { baseMs: 1_000, maxMs: 60_000, retryAfterMaxMs: 600_000, pollMs: 1_000, saveMs: 200 };

/** What an operator sees of a sink. */
export type SinkStatus = {
  readonly name: string;
  readonly kind: "stream" | "hook";
  readonly type: string;
  readonly state: "delivering" | "retrying" | "failing" | "paused" | "stopped";
  /** events that it has not had yet */
  readonly lag: number;
  /** age of the oldest of them that is known */
  readonly oldestMs: number;
  readonly delivered: number;
  readonly retries: number;
  readonly deadLetters: number;
  /** events that were removed before it had them */
  readonly dropped: number;
  readonly lastSuccessMs?: number;
  readonly lastError?: string;
};

/** Appends to the log; what it says about a delivery is itself delivered. */
export type Report = (event: NewEvent) => Promise<unknown>;
