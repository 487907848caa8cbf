import type { Event, NewEvent } from "../schema/event.ts";

/**
 * `durable`: `append` resolves after the group commit's fdatasync (denials, authentication, lifecycle, administration).
 * `fast`: resolves after the write (allowed exchanges and model calls), so that the gateway never waits for the disk.
 */
export type Durability = "durable" | "fast";

/** The one way from what happened to whoever must know. Everything else (streams, hooks, OCSF, tail) reads what was appended. */
export interface EventLog extends AsyncDisposable {
  /**
   * Completes the event (id, schema version, time), orders it and writes it. The class follows from the event.
   * @throws AppError AUDIT_UNAVAILABLE or DISK_FULL when it could not be written; the caller decides by `[audit].on_failure`
   */
  append(event: NewEvent): Promise<Event>;
  /** resolves when everything appended so far is on disk */
  flush(): Promise<void>;
  /** live feed, called after the write in append order; a slow listener must queue for itself. Returns the unsubscribe. */
  subscribe(listener: (event: Event) => void): () => void;
}

export type LogHealth =
  | { readonly isWritable: true }
  | {
      readonly isWritable: false;
      readonly code: "AUDIT_UNAVAILABLE" | "DISK_FULL";
      readonly reason: string;
      readonly sinceMs: number;
      readonly refused: number;
    };

export type ChainHead = { readonly chain: string; readonly seq: number; readonly hash: string };

export type LogStats = {
  /** events of this process in the log */
  readonly appended: number;
  /** appends that were refused, or (with `onFailure = "allow"`) let pass unrecorded */
  readonly lost: number;
  readonly queuedEvents: number;
  readonly queuedBytes: number;
  /** age of the oldest durable event that waits for its sync */
  readonly durableLagMs: number;
  readonly lastSyncMs: number;
  readonly headSeq: number;
};

/** The log with what operators ask it. */
export interface ChainedEventLog extends EventLog {
  health(): LogHealth;
  /** last written line of this process's chain */
  head(): ChainHead;
  stats(): LogStats;
}
