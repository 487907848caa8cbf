import type { DeliveryMeter } from "../../metrics/metrics.ts";
import { setTimeout as delay } from "node:timers/promises";
import { background } from "../../base/background.ts";
import { type Clock, timestamp } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { NewEvent } from "../../schema/event.ts";
import { parseEvent } from "../read-backward.ts";
import type { LogRecord } from "../read-forward.ts";
import type { Sink, SinkAnswer, SinkItem } from "../sinks/sink.ts";
import { nextDelayMs } from "./backoff.ts";
import type { ChainIndex } from "./chain-index.ts";
import { ChainMarks } from "./chain-mark.ts";
import { type DeadLetter, DeadLetters, MAX_LETTERS } from "./dead-letters.ts";
import type { DeliveryRequest } from "./requests.ts";
import { sendParts } from "./send-parts.ts";
import { type Batch, SinkQueue } from "./sink-queue.ts";
import type { DeliveryTiming, Report, SinkSpec, SinkStatus } from "./sink-spec.ts";
import { change, failing, isAboutDelivery, paused, recovered, rejected } from "./statements.ts";
import { Bell } from "./bell.ts";

export type RunnerOptions = {
  readonly spec: SinkSpec;
  readonly eventsDir: string;
  readonly deliveryDir: string;
  readonly index: ChainIndex;
  readonly timing: DeliveryTiming;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: DeliveryMeter;
  readonly report: Report;
  readonly random: () => number;
  /** dead letters past which it pauses; default {@link MAX_LETTERS} */
  readonly maxLetters?: number;
};

/** dead letters that are read at a time */
const LETTERS = 100;
/** ms between looks whether there is room for dead letters again */
const FULL_LOOK_MS = 60_000;

type Item = { readonly record: LogRecord; readonly item: SinkItem };

/** Brings one sink everything it has not had, in order per chain, one batch in memory; made by `DeliveryEngine`. */
export class SinkRunner {
  readonly #options: RunnerOptions;
  readonly #queue: SinkQueue;
  readonly #letters: DeadLetters;
  readonly #marks: ChainMarks;
  readonly #bell = new Bell();
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #sink: Sink | undefined;
  #tries = 0;
  #failingSinceMs: number | undefined;
  #pausedFor: string | undefined;
  #replaysDead = false;
  #isFull = false;
  #delivered = 0;
  #retries = 0;
  #lastSuccessMs: number | undefined;
  #lastError: string | undefined;

  private constructor(options: RunnerOptions, queue: SinkQueue, letters: DeadLetters) {
    this.#options = options;
    this.#queue = queue;
    this.#letters = letters;
    this.#marks = new ChainMarks(options.eventsDir);
  }

  static async start(options: RunnerOptions): Promise<SinkRunner> {
    const { spec, deliveryDir } = options;
    const runner = new SinkRunner(options, await SinkQueue.open(options), await DeadLetters.open(deliveryDir, spec.name));
    runner.#running = runner.#run();
    background(`delivery to ${spec.name}`, runner.#running, options.log);
    return runner;
  }

  get spec(): SinkSpec {
    return this.#options.spec;
  }

  /** Whether it has to read that chain still. */
  wants(chain: string): boolean {
    return this.#queue.wants(chain);
  }

  /** There may be something new. */
  wake(): void {
    this.#bell.ring();
  }

  async handle(request: DeliveryRequest): Promise<void> {
    const { spec, report, clock } = this.#options;
    switch (request.kind) {
      case "resume":
        break;
      case "replay":
        await this.#queue.rewind(request.sinceMs);
        await report(change(spec, "update", `everything since ${timestamp(request.sinceMs)} is sent again`));
        break;
      case "replay_dead":
        this.#replaysDead = true;
        break;
      case "purge_dead":
        await report(change(spec, "update", `${this.#letters.count} dead letters are removed at ${timestamp(clock.now())}`));
        await this.#letters.remove("all");
        break;
      default:
        request satisfies never;
    }
    if (request.kind !== "purge_dead") await this.#resume();
  }

  /** Resolves when there is nothing left, when it does not get on, or when the time is over. Batches no longer wait to be full. */
  async drain(deadlineMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#queue.flushAll();
    this.#bell.ring();
    const until = clock.monotonic() + deadlineMs;
    while (clock.monotonic() < until) {
      if (this.#pausedFor !== undefined || this.#tries > 0 || this.#stop.signal.aborted) return;
      if (this.#queue.lag() === 0) return;
      await delay(Math.min(20, deadlineMs));
    }
  }

  /** Ends the delivery where it is; the cursor is on disk when it resolves. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#bell.ring();
    await this.#running;
    await this.#queue.close();
    await this.#closeSink();
  }

  status(): SinkStatus {
    const { spec } = this.#options;
    const state =
      this.#pausedFor !== undefined
        ? "paused"
        : this.#failingSinceMs !== undefined
          ? "failing"
          : this.#tries > 0
            ? "retrying"
            : "delivering";
    return {
      name: spec.name,
      kind: spec.kind,
      type: spec.type,
      state,
      lag: this.#queue.lag(),
      oldestMs: this.#queue.oldestMs(),
      delivered: this.#delivered,
      retries: this.#retries,
      deadLetters: this.#letters.count,
      dropped: this.#queue.dropped,
      ...(this.#lastSuccessMs === undefined ? {} : { lastSuccessMs: this.#lastSuccessMs }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#pausedFor ?? this.#lastError }),
    };
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        if (this.#replaysDead) await this.#sendLetters();
        if (await this.#isFullOfDead()) {
          await this.#bell.heard(FULL_LOOK_MS);
          continue;
        }
        const batch = await this.#queue.next();
        if (batch === undefined) await this.#bell.heard(this.#queue.waitMs());
        else await this.#deliver(batch);
      } catch (error) {
        // our own disk, or the log that must say what happened: nothing is settled, so it comes again
        this.#options.log.error("delivery was interrupted", { sink: this.#options.spec.name, error: messageOf(error) });
        this.#tries += 1;
        await this.#bell.heard(nextDelayMs(this.#tries, undefined, this.#options.timing, this.#options.random));
      }
    }
  }

  /** Pauses until letters were removed or delivered; the events stay in the log meanwhile. */
  async #isFullOfDead(): Promise<boolean> {
    const { spec, maxLetters = MAX_LETTERS, log } = this.#options;
    const isFull = this.#letters.count >= maxLetters;
    if (!isFull && this.#isFull) this.#pausedFor = undefined;
    if (isFull && this.#pausedFor === undefined) {
      this.#pausedFor = `it has ${this.#letters.count} dead letters: deliver them again or remove them`;
      this.#lastError = this.#pausedFor;
      log.error("delivery is paused", { sink: spec.name, reason: this.#pausedFor });
      if (!this.#isFull) await this.#tell(paused(spec, this.#pausedFor));
    }
    this.#isFull = isFull;
    return isFull && !this.#replaysDead;
  }

  async #deliver(batch: Batch): Promise<void> {
    const { encodable, broken } = this.#encode(batch);
    if (broken.length > 0) await this.#bury(broken);
    const isWhole = await sendParts<Item>(encodable, {
      send: (part) => this.#send(part, batch.cursor.segment),
      bury: (dead) => this.#bury(dead.map(({ item, reason }) => ({ record: item.record, reason }))),
      settled: ({ record }) => this.#queue.settle(batch, record.seq),
    });
    if (isWhole) this.#queue.settleBatch(batch);
  }

  /** Tries until the part is settled; undefined when delivery was ended meanwhile. */
  async #send(part: readonly Item[], segment: string | undefined): Promise<Exclude<SinkAnswer, { kind: "retry" | "paused" }> | undefined> {
    const { spec, clock, meter } = this.#options;
    const { signal } = this.#stop;
    for (;;) {
      while (this.#isPaused() && !signal.aborted) await this.#bell.heard(60_000);
      if (signal.aborted) return undefined;
      const startedAt = clock.monotonic();
      const answer = await this.#attempt(part, segment);
      if (signal.aborted && answer.kind !== "delivered") return undefined;
      meter.attempt(spec.name, answer.kind, (clock.monotonic() - startedAt) / 1000);
      if (answer.kind === "delivered" || answer.kind === "rejected") {
        await this.#succeeded();
        if (answer.kind === "delivered") this.#count(part.length);
        else if (answer.rest === "delivered") this.#count(part.length - (answer.poison?.length ?? 0));
        return answer;
      }
      this.#lastError = answer.reason;
      if (answer.kind === "paused") {
        this.#pausedFor = answer.reason;
        this.#options.log.error("delivery is paused", { sink: spec.name, reason: answer.reason });
        await this.#tell(paused(spec, answer.reason));
        continue;
      }
      await this.#failed(answer.reason);
      const until = clock.monotonic() + nextDelayMs(this.#tries, answer.retryAfterMs, this.#options.timing, this.#options.random);
      // `resume` sets the tries back and rings
      while (this.#tries > 0 && !signal.aborted && clock.monotonic() < until) await this.#bell.heard(until - clock.monotonic());
    }
  }

  /** What an operator should know; the delivery does not depend on its being recorded. */
  async #tell(event: NewEvent): Promise<void> {
    try {
      await this.#options.report(event);
    } catch (error) {
      this.#options.log.error("a statement about a delivery was not recorded", { sink: this.#options.spec.name, error: messageOf(error) });
    }
  }

  async #attempt(part: readonly Item[], segment: string | undefined): Promise<SinkAnswer> {
    const last = part.at(-1);
    try {
      this.#sink ??= await this.#options.spec.open(this.#stop.signal);
      const mark = last === undefined ? undefined : await this.#marks.markFor(last.record, segment);
      return await this.#sink.send({ items: part.map(({ item }) => item), mark }, this.#stop.signal);
    } catch (error) {
      // a secret that cannot be found, a root that cannot be read: as good as unreachable
      return { kind: "retry", reason: messageOf(error) };
    }
  }

  #isPaused(): boolean {
    return this.#pausedFor !== undefined;
  }

  async #failed(reason: string): Promise<void> {
    const { spec, clock, log } = this.#options;
    this.#tries += 1;
    this.#retries += 1;
    if (this.#tries < spec.maxRetries || this.#failingSinceMs !== undefined) return;
    this.#failingSinceMs = clock.now();
    log.warn("delivery is failing", { sink: spec.name, tries: this.#tries, reason });
    await this.#tell(failing(spec, this.#tries, reason));
  }

  async #succeeded(): Promise<void> {
    const { spec, clock, log } = this.#options;
    const since = this.#failingSinceMs;
    this.#tries = 0;
    this.#failingSinceMs = undefined;
    this.#lastSuccessMs = clock.now();
    if (since === undefined) return;
    log.info("delivery goes on", { sink: spec.name });
    await this.#tell(recovered(spec, clock.now() - since));
  }

  #count(events: number): void {
    this.#delivered += events;
    this.#options.meter.delivered(this.#options.spec.name, events);
  }

  async #bury(dead: readonly { readonly record: LogRecord; readonly reason: string }[]): Promise<void> {
    const { spec, clock, meter, report, log } = this.#options;
    const time = timestamp(clock.now());
    const letters = dead.flatMap(({ record: { chain, seq, json }, reason }) => {
      const event = parseEvent(json);
      // a line that was tampered with is for `audit verify`
      return event === undefined ? [] : [{ time, reason, chain, seq, event }];
    });
    if (letters.length === 0) return;
    await this.#letters.add(letters);
    meter.deadLettered(spec.name, letters.length);
    log.warn("events were put among the dead letters", { sink: spec.name, count: letters.length, reason: letters[0]?.reason });
    const told = letters.filter(({ event }) => !isAboutDelivery(event));
    if (told.length > 0)
      await report(
        rejected(
          spec,
          told.map(({ event }) => event.id),
          told[0]?.reason ?? "",
        ),
      );
  }

  /** Tries each dead letter once more, by itself; those that are rejected again stay, with the new reason. */
  async #sendLetters(): Promise<void> {
    const { spec, report, clock } = this.#options;
    let left = this.#letters.count;
    let replayed = 0;
    while (left > 0) {
      const letters = await this.#letters.first(Math.min(left, LETTERS));
      if (letters.length === 0) break;
      const again: DeadLetter[] = [];
      for (const letter of letters) {
        const { chain, seq, event } = letter;
        const { encodable, broken } = this.#encode({ records: [{ chain, seq, hash: "", json: JSON.stringify(event) }] });
        const answer =
          encodable.length === 0
            ? ({ kind: "rejected", reason: broken[0]?.reason ?? "" } as const)
            : await this.#send(encodable, undefined);
        if (answer === undefined) return;
        if (answer.kind === "rejected") again.push({ ...letter, time: timestamp(clock.now()), reason: answer.reason });
      }
      await this.#letters.remove(letters);
      if (again.length > 0) await this.#letters.add(again);
      replayed += letters.length - again.length;
      left -= letters.length;
    }
    this.#replaysDead = false;
    await report(change(spec, "update", `${replayed} dead letters were delivered, ${this.#letters.count} remain`));
  }

  #encode(batch: Pick<Batch, "records">): {
    readonly encodable: readonly Item[];
    readonly broken: readonly { readonly record: LogRecord; readonly reason: string }[];
  } {
    const encodable: Item[] = [];
    const broken: { record: LogRecord; reason: string }[] = [];
    for (const record of batch.records) {
      const event = parseEvent(record.json);
      const { chain, seq } = record;
      try {
        if (event === undefined) broken.push({ record, reason: "it is not an event" });
        else
          encodable.push({ record, item: { id: event.id, chain, seq, event, bodies: this.#options.spec.encode(event, { chain, seq }) } });
      } catch (error) {
        broken.push({ record, reason: `it cannot be written for this destination: ${messageOf(error)}` });
      }
    }
    return { encodable, broken };
  }

  async #resume(): Promise<void> {
    await this.#closeSink();
    this.#pausedFor = undefined;
    this.#tries = 0;
    this.#bell.ring();
  }

  async #closeSink(): Promise<void> {
    const sink = this.#sink;
    this.#sink = undefined;
    await sink?.[Symbol.asyncDispose]();
  }
}
