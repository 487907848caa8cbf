import { background } from "../base/background.ts";
import type { Clock } from "../base/clock.ts";
import { AppError, isDiskFull, messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { Event } from "../schema/event.ts";
import type { ChainWriter, Entry } from "./chain-writer.ts";
import { WaitingRoom } from "./waiting-room.ts";

/** One append, or (without event) a wait for everything before it. */
export type Pending = {
  readonly event: Event | null;
  readonly entry: Entry;
  readonly isDurable: boolean;
  /** called once; with an error when it could not be written */
  readonly settle: (error?: AppError) => void;
};

export type CommitLimits = {
  readonly batchEvents: number;
  readonly batchBytes: number;
  /** bytes queued or written and not yet synced, past which `put` waits */
  readonly heldBytes: number;
  readonly heldEvents: number;
  /** what nobody waits for is written after so long, or once so many events are there: each write is a turn of a thread */
  readonly gatherMs: number;
  readonly gatherEvents: number;
  /** a `fast` event is on disk after so long at the latest */
  readonly fastSyncMs: number;
  /** pause between tries while nothing can be written */
  readonly retryMs: number;
  readonly checkpointEvents: number;
  readonly checkpointMs: number;
  readonly rotateBytes: number;
  readonly rotateMs: number;
};

export type Refusals = { readonly count: number; readonly sinceMs: number; readonly reason: string };

export type CommitOptions = {
  readonly writer: ChainWriter;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: CommitLimits;
  /** called after the write, in order */
  readonly onWritten: (event: Event) => void;
  /** the last event of a segment */
  readonly rotateEntry: () => Entry;
  /** a segment was finished */
  readonly onRotated: () => void;
  /** what the chain says about appends that were refused meanwhile */
  readonly gap: (refusals: Refusals) => Pending;
};

type Failure = { readonly error: AppError; readonly sinceMs: number; retryAt: number; refused: number };

/** Turns many appends into few writes and fewer fdatasyncs; one write and one sync may be under way at a time. */
export class GroupCommit {
  readonly #options: CommitOptions;
  readonly #room: WaitingRoom;
  #queue: Pending[] = [];
  /** written, durable, not yet synced */
  #awaiting: { readonly pending: Pending; readonly atMs: number }[] = [];
  #running: Promise<void> | undefined;
  #syncing: Promise<void> | undefined;
  #syncAgain = false;
  /** segments are being changed: no sync may begin */
  #isAlone = false;
  #gatherTimer: NodeJS.Timeout | undefined;
  #fastTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #failure: Failure | undefined;
  #checkpointed = { seq: 0, atMs: 0 };
  #lastSyncMs = 0;

  constructor(options: CommitOptions) {
    this.#options = options;
    this.#room = new WaitingRoom(options.limits.heldEvents, options.limits.heldBytes);
    this.#checkpointed = { seq: 0, atMs: options.clock.monotonic() };
  }

  get failure(): { readonly error: AppError; readonly sinceMs: number; readonly refused: number } | undefined {
    return this.#failure;
  }

  get stats(): { readonly queuedBytes: number; readonly queuedEvents: number; readonly durableLagMs: number; readonly lastSyncMs: number } {
    const oldest = this.#awaiting[0]?.atMs;
    return {
      queuedBytes: this.#room.bytes + this.#options.writer.unsyncedBytes,
      queuedEvents: this.#room.events,
      durableLagMs: oldest === undefined ? 0 : this.#options.clock.monotonic() - oldest,
      lastSyncMs: this.#lastSyncMs,
    };
  }

  /** Queues in call order; `pending.settle` tells the outcome. */
  put(pending: Pending): void {
    const failure = this.#failure;
    if (failure !== undefined && this.#options.clock.monotonic() < failure.retryAt) {
      this.#refuse(pending, failure.error);
      return;
    }
    this.#room.enter(
      pending.entry.json.length,
      () => {
        this.#queue.push(pending);
        this.#kick();
      },
      (error) => pending.settle(error),
    );
  }

  /** A checkpoint also when nothing happened, so that silence can be proven, and a try when nothing could be written. */
  tick(): void {
    if (this.#failure === undefined) background("audit sync", this.#sync(), this.#options.log);
    else this.#kick();
  }

  /** Nothing runs on afterwards; call when every append has settled. */
  async stop(): Promise<void> {
    clearTimeout(this.#gatherTimer);
    clearTimeout(this.#fastTimer);
    clearTimeout(this.#retryTimer);
    while (this.#running !== undefined || this.#syncing !== undefined) {
      await this.#running;
      await this.#syncing;
    }
  }

  #kick(): void {
    if (this.#running !== undefined) return;
    if (!this.#isWriteDue()) {
      this.#gatherTimer ??= setTimeout(() => this.#begin(), this.#options.limits.gatherMs);
      return;
    }
    this.#begin();
  }

  #begin(): void {
    clearTimeout(this.#gatherTimer);
    this.#gatherTimer = undefined;
    if (this.#running !== undefined) return;
    // a microtask later everything that the current turn appends is one batch
    this.#running = Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        if (this.#queue.length > 0) this.#kick();
      });
    background("audit writer", this.#running, this.#options.log);
  }

  /** Somebody waits, or enough has come together; without events it is the try whether writing works again. */
  #isWriteDue(): boolean {
    const { length } = this.#queue;
    if (this.#failure !== undefined || length === 0 || length >= this.#options.limits.gatherEvents) return true;
    return this.#queue.some(({ isDurable }) => isDurable);
  }

  async #run(): Promise<void> {
    const { writer, limits } = this.#options;
    for (let repairs = 0; ; ) {
      if (writer.broken !== undefined) {
        repairs += 1;
        if (!(await this.#repair(repairs))) return;
      }
      if (this.#queue.length === 0 && this.#failure === undefined) return;
      if (writer.unsyncedBytes > limits.heldBytes / 2) await this.#sync();
      this.#announceGap();
      const batch = this.#take();
      try {
        if (this.#isRotationDue(batch)) {
          await this.#alone(() => writer.rotate(this.#options.rotateEntry));
          this.#options.onRotated();
        }
        const entries = batch.flatMap((pending) => (pending.event === null ? [] : [pending.entry]));
        if (entries.length > 0) await writer.write(entries);
      } catch (error) {
        // a new segment may take it; the queue keeps its order
        if (writer.broken !== undefined && repairs < 2) {
          this.#queue = batch.concat(this.#queue);
          continue;
        }
        this.#leave(batch);
        this.#fail(error, batch);
        return;
      }
      repairs = 0;
      this.#recovered();
      this.#leave(batch);
      this.#publish(batch);
      if (!this.#isWriteDue()) return;
    }
  }

  /** The first event after a failure says how many were refused; alone it is also the try whether writing works again. */
  #announceGap(): void {
    const failure = this.#failure;
    const first = this.#queue[0]?.event ?? null;
    if (failure === undefined || (first !== null && isGap(first))) return;
    const gap = this.#options.gap({ count: failure.refused, sinceMs: failure.sinceMs, reason: failure.error.message });
    this.#room.add(gap.entry.json.length);
    this.#queue.unshift(gap);
  }

  #publish(batch: readonly Pending[]): void {
    const atMs = this.#options.clock.monotonic();
    for (const pending of batch) {
      if (pending.event !== null) this.#options.onWritten(pending.event);
      if (pending.isDurable) this.#awaiting.push({ pending, atMs });
      else pending.settle();
    }
    if (this.#awaiting.length > 0) background("audit sync", this.#sync(), this.#options.log);
    else
      this.#fastTimer ??= setTimeout(
        () => background("audit sync", this.#sync(), this.#options.log),
        this.#options.limits.fastSyncMs,
      ).unref();
  }

  #take(): Pending[] {
    const { batchEvents, batchBytes } = this.#options.limits;
    let count = 0;
    for (let bytes = 0; count < Math.min(batchEvents, this.#queue.length) && bytes < batchBytes; count += 1)
      bytes += this.#queue[count]?.entry.json.length ?? 0;
    return this.#queue.splice(0, count);
  }

  #leave(batch: readonly Pending[]): void {
    this.#room.leave(
      batch.length,
      batch.reduce((sum, pending) => sum + pending.entry.json.length, 0),
    );
  }

  #isRotationDue(batch: readonly Pending[]): boolean {
    const { segment } = this.#options.writer;
    if (segment.isSealed) return true;
    if (segment.bytes === 0) return false;
    const { rotateBytes, rotateMs } = this.#options.limits;
    // about 270 bytes of frame a line
    const next = batch.reduce((sum, pending) => sum + pending.entry.json.length + 270, 0);
    return segment.bytes + next > rotateBytes || this.#options.clock.now() - segment.openedMs > rotateMs;
  }

  /** Starts a sync, or has the one under way followed by another. */
  #sync(): Promise<void> {
    clearTimeout(this.#fastTimer);
    this.#fastTimer = undefined;
    this.#syncAgain = true;
    if (this.#isAlone) return Promise.resolve();
    this.#syncing ??= this.#syncLoop().finally(() => {
      this.#syncing = undefined;
      // asked for between the loop's end and this: nobody else would begin it
      if (this.#syncAgain && !this.#isAlone && this.#options.writer.broken === undefined)
        background("audit sync", this.#sync(), this.#options.log);
    });
    return this.#syncing;
  }

  /** Runs `change` while no sync is under way. */
  async #alone(change: () => Promise<void>): Promise<void> {
    this.#isAlone = true;
    try {
      await this.#syncing;
      await change();
    } finally {
      this.#isAlone = false;
      if (this.#syncAgain || this.#awaiting.length > 0) background("audit sync", this.#sync(), this.#options.log);
    }
  }

  async #syncLoop(): Promise<void> {
    const { writer, clock, log } = this.#options;
    while (this.#syncAgain && writer.broken === undefined && !this.#isAlone) {
      this.#syncAgain = false;
      const count = this.#awaiting.length;
      const startedMs = clock.monotonic();
      try {
        await writer.sync();
      } catch (error) {
        log.error("audit segment could not be synced; a new one is begun", { segment: writer.segment.name, error: messageOf(error) });
        this.#kick();
        return;
      }
      this.#lastSyncMs = clock.monotonic() - startedMs;
      this.#settleSynced(count);
      await this.#checkpointWhenDue();
    }
  }

  #settleSynced(count: number): void {
    for (const { pending } of this.#awaiting.splice(0, count)) pending.settle();
    if (this.#awaiting.length > 0) this.#syncAgain = true;
  }

  async #checkpointWhenDue(): Promise<void> {
    const { writer, clock, limits, log } = this.#options;
    const { seq } = writer.synced;
    const now = clock.monotonic();
    if (seq - this.#checkpointed.seq < limits.checkpointEvents && now - this.#checkpointed.atMs < limits.checkpointMs) return;
    try {
      await writer.checkpoint("checkpoint", { sync: false });
      this.#checkpointed = { seq, atMs: now };
    } catch (error) {
      // the events are safe; the next sync tries again
      log.warn("audit checkpoint could not be written", { error: messageOf(error) });
    }
  }

  async #repair(attempt: number): Promise<boolean> {
    const { writer, log } = this.#options;
    try {
      if (attempt > 2) throw writer.broken;
      await this.#alone(async () => {
        await writer.repair();
        // all that was written before is in the new segment, and that is synced
        this.#settleSynced(this.#awaiting.length);
      });
      log.warn("audit log goes on in a new segment", { segment: writer.segment.name });
      return true;
    } catch (error) {
      this.#fail(error, []);
      return false;
    }
  }

  /** Fails closed: whatever is not on disk is refused, and later appends too until a try succeeds. */
  #fail(cause: unknown, batch: readonly Pending[]): void {
    const { clock, log, limits } = this.#options;
    const error = asAppError(cause);
    if (this.#failure === undefined) log.error("audit log cannot be written", { error: messageOf(error) });
    this.#failure = {
      error,
      sinceMs: this.#failure?.sinceMs ?? clock.now(),
      retryAt: clock.monotonic() + limits.retryMs,
      refused: this.#failure?.refused ?? 0,
    };
    // written entries of an intact segment will still be synced; those of a broken one are refused and left out of its rewrite
    const lost = this.#options.writer.broken === undefined ? [] : this.#awaiting.splice(0).map(({ pending }) => pending);
    const queued = this.#queue.splice(0);
    this.#leave(queued);
    for (const pending of [...lost, ...batch, ...queued]) this.#refuse(pending, error);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#kick(), limits.retryMs).unref();
  }

  #refuse(pending: Pending, error: AppError): void {
    pending.entry.isVoid = true;
    if (this.#failure !== undefined && pending.event !== null && !isGap(pending.event)) this.#failure.refused += 1;
    pending.settle(error);
  }

  #recovered(): void {
    if (this.#failure === undefined) return;
    this.#options.log.info("audit log can be written again", { refused: this.#failure.refused });
    this.#failure = undefined;
    clearTimeout(this.#retryTimer);
  }
}

function isGap(event: Event): boolean {
  return event.type === "audit.log" && event.operation === "gap";
}

function asAppError(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  return isDiskFull(cause)
    ? new AppError("DISK_FULL", "the audit log cannot be written: no space left", {
        cause,
        hint: "free space on the file system of the state directory; it goes on by itself",
      })
    : new AppError("AUDIT_UNAVAILABLE", `the audit log cannot be written: ${messageOf(cause)}`, {
        cause,
        hint: "check the file system of the state directory",
      });
}
