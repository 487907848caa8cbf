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
