import { background } from "../base/background.ts";
import { timestamp, type Clock } from "../base/clock.ts";
import { AppError, messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { Event, NewEvent } from "../schema/event.ts";
import { auditLogEvent } from "./audit-log-event.ts";
import type { ChainWriter } from "./chain-writer.ts";
import { completeEvent } from "./complete-event.ts";
import { durabilityOf } from "./durability.ts";
import { encodeEvent } from "./encode-event.ts";
import { FullGate } from "./full-gate.ts";
import { type CommitLimits, GroupCommit, type Pending, type Refusals } from "./group-commit.ts";
import type { ChainedEventLog, ChainHead, LogHealth, LogStats } from "./log.ts";

/** Age is checked so often; size also at the end of every segment. */
const RETENTION_MS = 60 * 60 * 1000;
/** ms between looks whether there is room again */
const FULL_RETRY_MS = 1000;

export type ChainedLogOptions = {
  readonly writer: ChainWriter;
  readonly chain: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: CommitLimits;
  readonly onFailure: "deny" | "allow";
  /** every event waits for the disk, whatever its class */
  readonly isAllDurable: boolean;
  /** removes what retention no longer keeps; whether the log is full of what was not delivered, undefined when that is not known */
  readonly retain: () => Promise<boolean | undefined>;
  /** what happens to events while it is full */
  readonly onFull: "block" | "deny";
  /** the chain ended with a stop event and a checkpoint */
  readonly finished: () => Promise<void>;
};

/** This process's chain; made by `openEventLog`. */
export class ChainedLog implements ChainedEventLog {
  readonly #options: ChainedLogOptions;
  readonly #commit: GroupCommit;
  readonly #listeners = new Set<(event: Event) => void>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #retention: NodeJS.Timeout;
  #retaining: Promise<void> | undefined;
  #isRetentionDue = false;
  readonly #gate: FullGate;
  #fullTimer: NodeJS.Timeout | undefined;
  #lost = 0;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(options: ChainedLogOptions) {
    this.#options = options;
    const { writer, clock, log, limits } = options;
    this.#gate = new FullGate(options.onFull, clock);
    this.#commit = new GroupCommit({
      writer,
      clock,
      log,
      limits,
      onWritten: (event) => this.#publish(event),
      rotateEntry: () => ({
        json: encodeEvent(
          completeEvent(
            auditLogEvent("rotate", { segment: writer.segment.name, last_seq: writer.written.seq + 1, bytes: writer.segment.bytes }),
            clock.now(),
          ),
        ),
        isVoid: false,
      }),
      onRotated: () => this.retain(),
      gap: (refusals) => this.#gap(refusals),
    });
    this.#heartbeat = setInterval(() => this.#commit.tick(), limits.checkpointMs).unref();
    this.#retention = setInterval(() => this.retain(), RETENTION_MS).unref();
  }

  append(event: NewEvent): Promise<Event> {
    if (this.#isClosed) return Promise.reject(new AppError("AUDIT_UNAVAILABLE", "the audit log is closed"));
    // what is said about the log and its delivery is what makes room, or says why there is none
    return this.#gate.isFull && event.actor.kind !== "system" ? this.#appendWhenRoom(event) : this.#append(event);
  }

  async flush(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#commit.put({
        event: null,
        entry: { json: "", isVoid: false },
        isDurable: true,
        settle: (error) => (error === undefined ? resolve() : reject(error)),
      });
    });
  }

  subscribe(listener: (event: Event) => void): () => void {
    // a wrapper of its own, so that one function can be subscribed twice
    const own = (event: Event): void => listener(event);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  health(): LogHealth {
    const failure = this.#commit.failure;
    if (failure === undefined) return this.#gate.health();
    const code = failure.error.code === "DISK_FULL" ? "DISK_FULL" : "AUDIT_UNAVAILABLE";
    return { isWritable: false, code, reason: messageOf(failure.error), sinceMs: failure.sinceMs, refused: failure.refused };
  }

  head(): ChainHead {
    return { chain: this.#options.chain, ...this.#options.writer.written };
  }

  stats(): LogStats {
    const { seq } = this.#options.writer.written;
    return { appended: seq, lost: this.#lost, headSeq: seq, ...this.#commit.stats };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** Starts a round of retention; asked for during one, another follows. */
  retain(): void {
    this.#isRetentionDue = true;
    if (this.#closing !== undefined || this.#retaining !== undefined) return;
    this.#retaining = this.#retain().finally(() => {
      this.#retaining = undefined;
    });
    background("audit retention", this.#retaining, this.#options.log);
  }

  async #retain(): Promise<void> {
    while (this.#isRetentionDue && this.#closing === undefined) {
      this.#isRetentionDue = false;
      const isFull = await this.#options.retain();
      if (isFull !== undefined) this.#setFull(isFull);
    }
  }

  #setFull(isFull: boolean): void {
    const { log } = this.#options;
    if (isFull && !this.#gate.isFull) log.error("the audit log is full of events that were not delivered");
    const refused = this.#gate.set(isFull);
    if (refused !== undefined) background("audit gap", this.#append(refusalGap(refused)), log);
    clearTimeout(this.#fullTimer);
    if (isFull) this.#fullTimer = setTimeout(() => this.retain(), FULL_RETRY_MS).unref();
  }

  async #appendWhenRoom(event: NewEvent): Promise<Event> {
    try {
      await this.#gate.pass();
    } catch (error) {
      this.#lost += 1;
      if (this.#options.onFailure === "deny") throw error;
      return completeEvent(event, this.#options.clock.now());
    }
    return this.#append(event);
  }

  #append(event: NewEvent): Promise<Event> {
    // one promise an event, since there are thousands a second
    return new Promise((resolve, reject) => {
      const complete = completeEvent(event, this.#options.clock.now());
      this.#commit.put(
        this.#pending(complete, (error) => {
          if (error !== undefined) this.#lost += 1;
          if (error === undefined || this.#options.onFailure === "allow") resolve(complete);
          else reject(error);
        }),
      );
    });
  }

  async #close(): Promise<void> {
    const { writer, log } = this.#options;
    clearInterval(this.#heartbeat);
    clearInterval(this.#retention);
    clearTimeout(this.#fullTimer);
    this.#gate.close();
    try {
      await this.#retaining;
      this.#isClosed = true;
      await this.#append(auditLogEvent("stop", { last_seq: writer.written.seq + 1 }));
      await this.flush();
      await this.#commit.stop();
      await writer.checkpoint("stop", { sync: true });
      await writer.close();
      await this.#options.finished();
    } catch (error) {
      // the owner's mark stays, and the next process finishes the chain
      log.error("audit log was not closed cleanly", { chain: this.#options.chain, error: messageOf(error) });
      await this.#commit.stop();
      await writer.close();
    }
  }

  #publish(event: Event): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error("a listener of the event log failed", { type: event.type, error: messageOf(error) });
      }
    }
  }

  #gap(refusals: Refusals): Pending {
    return this.#pending(completeEvent(refusalGap(refusals), this.#options.clock.now()), () => undefined);
  }

  #pending(event: Event, settle: (error?: AppError) => void): Pending {
    const isDurable = this.#options.isAllDurable || durabilityOf(event) === "durable";
    return { event, entry: { json: encodeEvent(event), isVoid: false }, isDurable, settle };
  }
}

function refusalGap({ count, sinceMs, reason }: Refusals): Extract<NewEvent, { type: "audit.log" }> {
  return auditLogEvent("gap", { reason: `${count} events since ${timestamp(sinceMs)} were not written: ${reason}` });
}
