import type { DeliveryMeter } from "../../metrics/metrics.ts";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { errnoOf, messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { Event } from "../../schema/event.ts";
import { listSegments } from "../layout.ts";
import { parseEvent } from "../read-backward.ts";
import type { LogRecord, ReadCursor } from "../read-forward.ts";
import type { ChainIndex, ChainState } from "./chain-index.ts";
import { CursorFile, type Positions } from "./cursor-file.ts";
import { readRecords } from "./read-records.ts";
import type { DeliveryTiming, SinkSpec } from "./sink-spec.ts";

/** Events of one chain for one request, and the cursor behind everything that was looked at for it. */
export type Batch = {
  readonly chain: string;
  readonly records: readonly LogRecord[];
  readonly cursor: ReadCursor;
  /** a batch of before a rewind settles nothing */
  readonly generation: number;
};

export type SinkQueueOptions = {
  readonly spec: SinkSpec;
  readonly eventsDir: string;
  readonly deliveryDir: string;
  readonly index: ChainIndex;
  readonly timing: DeliveryTiming;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: DeliveryMeter;
};

type Progress = {
  cursor: ReadCursor;
  waitingSince: number | undefined;
  /** the chain's last number when there was nothing to read although the index said so */
  stuckAt?: number;
};

/** bytes of events in one batch, beyond which it is not filled up */
const BATCH_BYTES = 1 << 20;
/** records that are looked at for one batch of a sink that does not want all of them */
const SCAN = 1_000;
const IDLE_MS = 60_000;
/** a disk that refused is asked so many times less often */
const REFUSED_TIMES = 10;

/** Where a sink stands in every chain, and what it gets next. Memory holds positions, never events. */
export class SinkQueue {
  readonly #options: SinkQueueOptions;
  readonly #file: CursorFile;
  readonly #chains = new Map<string, Progress>();
  readonly #finished: Set<string>;
  /** chains of before the sink's first delivery: only there its `sinceMs` counts, since clocks are set */
  readonly #earlier: ReadonlySet<string>;
  #generation = 0;
  #isFlushing = false;
  #dropped = 0;
  #saveTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;
  #isDirty = false;
  /** it was said that the disk refuses */
  #isRefused = false;

  private constructor(options: SinkQueueOptions, file: CursorFile, positions: Positions | undefined, earlier: ReadonlySet<string>) {
    this.#options = options;
    this.#file = file;
    this.#earlier = earlier;
    this.#finished = new Set(positions?.finished ?? []);
    for (const [chain, cursor] of positions?.chains ?? []) this.#chains.set(chain, { cursor, waitingSince: undefined });
  }

  static async open(options: SinkQueueOptions): Promise<SinkQueue> {
    const { deliveryDir, eventsDir, spec, index } = options;
    const existing = new Set(index.names());
    const { file, positions } = await CursorFile.open(deliveryDir, spec.name, eventsDir, existing);
    return new SinkQueue(options, file, positions, positions === undefined ? existing : new Set());
  }

  get dropped(): number {
    return this.#dropped;
  }

  wants(chain: string): boolean {
    return !this.#finished.has(chain);
  }

  /** From now on a batch is sent as it is. */
  flushAll(): void {
    this.#isFlushing = true;
  }

  /** The next batch that is due, of the chain that has waited longest; undefined when none is. */
  async next(): Promise<Batch | undefined> {
    for (;;) {
      let chosen: { readonly state: ChainState; readonly progress: Progress } | undefined;
      for (const state of [...this.#options.index.all()]) {
        const progress = await this.#progressOf(state);
        if (progress === undefined || !this.#isDue(state, progress)) continue;
        if (chosen === undefined || (progress.waitingSince ?? 0) < (chosen.progress.waitingSince ?? 0)) chosen = { state, progress };
      }
      if (chosen === undefined) break;
      const batch = await this.#read(chosen.state, chosen.progress);
      if (batch !== undefined) return batch;
    }
    this.#forgetRemoved();
    return undefined;
  }

  /** ms until a batch is due by its age. */
  waitMs(): number {
    const { clock, spec } = this.#options;
    let wait = IDLE_MS;
    for (const { waitingSince, stuckAt } of this.#chains.values()) {
      if (waitingSince !== undefined && stuckAt === undefined) wait = Math.min(wait, waitingSince + spec.flushMs - clock.monotonic());
    }
    return Math.max(1, wait);
  }

  /** The sink has, or will never have, everything of the chain up to this number. */
  settle({ chain, generation }: Batch, seq: number): void {
    const progress = this.#chains.get(chain);
    if (generation !== this.#generation || progress === undefined || seq <= progress.cursor.seq) return;
    // segment and offset stay where the reading began: they only shorten the search
    progress.cursor = { ...progress.cursor, seq };
    this.#save();
  }

  /** The whole batch is settled, with what was looked at and not wanted. */
  settleBatch({ chain, cursor, generation }: Batch): void {
    const progress = this.#chains.get(chain);
    if (generation !== this.#generation || progress === undefined) return;
    progress.cursor = cursor;
    delete progress.stuckAt;
    const state = this.#options.index.get(chain);
    // whoever must wait began to wait with the first event behind this batch
    progress.waitingSince = state !== undefined && state.headSeq > cursor.seq ? this.#options.clock.monotonic() : undefined;
    this.#save();
  }

  /** Everything since a time comes again. */
  async rewind(sinceMs: number): Promise<void> {
    const { eventsDir, index } = this.#options;
    const cursors = new Map<string, ReadCursor>();
    for (const chain of index.names()) cursors.set(chain, await positionBefore(eventsDir, chain, sinceMs));
    this.#generation += 1;
    this.#finished.clear();
    this.#chains.clear();
    for (const [chain, cursor] of cursors) this.#chains.set(chain, { cursor, waitingSince: undefined });
    this.#save();
  }

  lag(): number {
    let lag = 0;
    for (const state of this.#options.index.all()) {
      if (this.#finished.has(state.chain)) continue;
      const seq = this.#chains.get(state.chain)?.cursor.seq ?? 0;
      lag += Math.max(0, state.headSeq - Math.max(seq, state.firstSeq - 1));
    }
    return lag;
  }

  /** Age of the oldest event that waits, as far as it is known. */
  oldestMs(): number {
    const now = this.#options.clock.monotonic();
    let oldest = 0;
    for (const { waitingSince } of this.#chains.values()) if (waitingSince !== undefined) oldest = Math.max(oldest, now - waitingSince);
    return oldest;
  }

  async close(): Promise<void> {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    await this.#saving;
    // a write that the disk refused had another one planned
    clearTimeout(this.#saveTimer);
    if (this.#isDirty) await this.#write();
  }

  async #progressOf({ chain, headSeq, firstSeq, isOpen }: ChainState): Promise<Progress | undefined> {
    if (this.#finished.has(chain)) return undefined;
    const { spec, eventsDir, clock } = this.#options;
    let progress = this.#chains.get(chain);
    if (progress === undefined) {
      const isWhole = spec.sinceMs === undefined || !this.#earlier.has(chain);
      const cursor = isWhole ? { seq: firstSeq - 1 } : await positionBefore(eventsDir, chain, spec.sinceMs);
      progress = { cursor, waitingSince: undefined };
      this.#chains.set(chain, progress);
    }
    if (headSeq > progress.cursor.seq) progress.waitingSince ??= clock.monotonic();
    else if (!isOpen) this.#finish(chain);
    return progress;
  }

  #isDue({ headSeq, isOpen }: ChainState, { cursor, waitingSince, stuckAt }: Progress): boolean {
    const { spec, clock } = this.#options;
    const waiting = headSeq - cursor.seq;
    if (waiting <= 0 || stuckAt === headSeq) return false;
    // nothing follows in a finished chain
    if (waiting >= spec.batchSize || !isOpen || this.#isFlushing) return true;
    return waitingSince !== undefined && clock.monotonic() - waitingSince >= spec.flushMs;
  }

  async #read(state: ChainState, progress: Progress): Promise<Batch | undefined> {
    const { spec, eventsDir } = this.#options;
    const generation = this.#generation;
    const { wanted } = spec;
    const judge = (json: string): boolean => {
      const event = parseEvent(json);
      return event !== undefined && (wanted?.(event) ?? true);
    };
    const { records, cursor, missing } = await readRecords(eventsDir, state.chain, progress.cursor, {
      records: spec.batchSize,
      bytes: BATCH_BYTES,
      scanned: Math.max(SCAN, spec.batchSize),
      ...(wanted === undefined ? {} : { wanted: judge }),
    });
    if (missing > 0) this.#drop(missing);
    const batch = { chain: state.chain, records, cursor, generation };
    if (records.length > 0) return batch;
    if (cursor.seq > progress.cursor.seq) this.settleBatch(batch);
    else if (state.isOpen) progress.stuckAt = state.headSeq;
    else {
      // a finished chain whose end is gone or cannot be read: `audit verify` says which
      this.#drop(state.headSeq - cursor.seq);
      this.#finish(state.chain);
    }
    return undefined;
  }

  #finish(chain: string): void {
    this.#chains.delete(chain);
    this.#finished.add(chain);
    this.#save();
  }

  /** Chains that retention removed whole. */
  #forgetRemoved(): void {
    const { index } = this.#options;
    const names = index.names();
    for (const chain of [...this.#chains.keys(), ...this.#finished]) {
      if (names.has(chain)) continue;
      this.#chains.delete(chain);
      this.#finished.delete(chain);
    }
  }

  #drop(events: number): void {
    this.#dropped += events;
    this.#options.meter.dropped(this.#options.spec.name, events);
    this.#options.log.error("events were removed before they were delivered", { sink: this.#options.spec.name, events });
  }

  #save(): void {
    this.#isDirty = true;
    if (this.#saveTimer !== undefined || this.#saving !== undefined) return;
    const { saveMs } = this.#options.timing;
    this.#saveTimer = setTimeout(
      () => {
        this.#saveTimer = undefined;
        this.#saving = this.#write().finally(() => {
          this.#saving = undefined;
          if (this.#isDirty) this.#save();
        });
      },
      this.#isRefused ? REFUSED_TIMES * saveMs : saveMs,
    );
  }

  async #write(): Promise<void> {
    this.#isDirty = false;
    const cursors = new Map([...this.#chains].map(([chain, { cursor }]) => [chain, cursor]));
    try {
      await this.#file.save(cursors, new Set(this.#finished));
      this.#isRefused = false;
    } catch (error) {
      this.#isDirty = true;
      // once: a full disk would have it said several times a second
      if (!this.#isRefused)
        this.#options.log.error("a delivery cursor could not be written", { sink: this.#options.spec.name, error: messageOf(error) });
      this.#isRefused = true;
    }
  }
}

function isRecent(event: Event, sinceMs: number): boolean {
  return Date.parse(event.timestamp) >= sinceMs;
}

/** A file's time is the kernel's last tick, and clocks are set. */
const SLACK_MS = 60_000;

/** The position before the first event of a chain that is not older than a time. */
async function positionBefore(dir: string, chain: string, sinceMs: number): Promise<ReadCursor> {
  const segments = await listSegments(dir, chain);
  for (const [at, { name, firstSeq }] of segments.entries()) {
    const isLast = at === segments.length - 1;
    if (isLast || (await writtenMs(join(dir, chain, name))) >= sinceMs - SLACK_MS)
      return await firstRecent(dir, chain, { seq: firstSeq - 1 }, sinceMs);
  }
  return { seq: 0 };
}

/** ms of the last write; one that retention removed was written long ago. */
async function writtenMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw error;
  }
}

async function firstRecent(dir: string, chain: string, from: ReadCursor, sinceMs: number): Promise<ReadCursor> {
  let cursor = from;
  for (;;) {
    const read = await readRecords(dir, chain, cursor, { records: SCAN, bytes: BATCH_BYTES, scanned: SCAN });
    const recent = read.records.find(({ json }) => {
      const event = parseEvent(json);
      return event !== undefined && isRecent(event, sinceMs);
    });
    if (recent !== undefined) return { seq: recent.seq - 1 };
    if (read.records.length === 0) return cursor;
    cursor = read.cursor;
  }
}
