import { join } from "node:path";
import { ignore } from "../base/background.ts";
import { timestamp, type Clock } from "../base/clock.ts";
import { isDiskFull } from "../base/error.ts";
import { formatLine, type Position, START } from "./chain.ts";
import { CheckpointFile, type CheckpointTail, EMPTY_TAIL } from "./checkpoint-file.ts";
import type { Checkpoint, CheckpointKind, Signer } from "./checkpoint.ts";
import type { LogFile, LogFiles } from "./files.ts";
import { CHECKPOINTS, segmentName } from "./layout.ts";

/** An encoded event on its way to the disk. `isVoid`: its append was refused, so a later rewrite leaves it out. */
export type Entry = { readonly json: string; isVoid: boolean };

export type ChainWriterOptions = {
  readonly files: LogFiles;
  readonly dir: string;
  readonly chain: string;
  readonly signer: Signer;
  readonly clock: Clock;
  /** continues a chain whose writer died, in a new segment */
  readonly after?: {
    readonly position: Position;
    readonly segment: string;
    readonly bytes: number;
    readonly checkpoints: { readonly file: LogFile; readonly tail: CheckpointTail };
  };
};

type Segment = { readonly name: string; readonly file: LogFile; readonly openedMs: number; bytes: number; isSealed: boolean };
/** What is known to be on disk. */
type Synced = { readonly position: Position; readonly segment: string; readonly bytes: number };
type Batch = { readonly entries: readonly Entry[]; readonly bytes: number };

/**
 * The files of one chain: writes lines, makes them durable, seals segments, and after a failed fdatasync starts a new segment
 * from memory. `sync`, `checkpoint`, `rotate` and `repair` never overlap one another; `write` may overlap `sync`.
 */
export class ChainWriter {
  readonly #options: ChainWriterOptions;
  readonly #checkpoints: CheckpointFile;
  readonly #unnamed = new Set<string>();
  #segment: Segment;
  #written: Position;
  #synced: Synced;
  #unsynced: Batch[] = [];
  #unsyncedBytes = 0;
  #broken: unknown;

  private constructor(options: ChainWriterOptions, segment: Segment, checkpoints: CheckpointFile) {
    this.#options = options;
    this.#segment = segment;
    this.#checkpoints = checkpoints;
    this.#written = options.after?.position ?? START;
    this.#synced = options.after ?? { position: START, segment: segment.name, bytes: 0 };
    // their names are made durable together with the first event, not before it: `run` starts sooner
    this.#unnamed.add(options.dir).add(join(options.dir, options.chain));
  }

  static async open(options: ChainWriterOptions): Promise<ChainWriter> {
    const { files, signer, after } = options;
    const path = join(options.dir, options.chain);
    await files.makeDirectory(path);
    const segment = await createSegment(options, (after?.position ?? START).seq + 1);
    try {
      const checkpoints = after?.checkpoints ?? { file: await files.create(join(path, CHECKPOINTS)), tail: EMPTY_TAIL };
      return new ChainWriter(options, segment, new CheckpointFile(checkpoints.file, signer, checkpoints.tail));
    } catch (error) {
      await segment.file.close();
      throw error;
    }
  }

  get written(): Position {
    return this.#written;
  }

  get synced(): Position {
    return this.#synced.position;
  }

  get unsyncedBytes(): number {
    return this.#unsyncedBytes;
  }

  /** what made the segment unusable; only `repair` helps */
  get broken(): unknown {
    return this.#broken;
  }

  get segment(): { readonly name: string; readonly bytes: number; readonly openedMs: number; readonly isSealed: boolean } {
    return this.#segment;
  }

  /** One write. When it throws, none of the entries is in the chain. */
  async write(entries: readonly Entry[]): Promise<void> {
    const segment = this.#segment;
    const { bytes, position } = chainOn(this.#options.chain, this.#written, entries);
    try {
      await segment.file.append(bytes);
    } catch (error) {
      await this.#cutBack(segment, error);
      throw error;
    }
    segment.bytes += bytes.length;
    this.#written = position;
    this.#unsynced.push({ entries, bytes: bytes.length });
    this.#unsyncedBytes += bytes.length;
  }

  /** Makes everything written before the call durable. When it throws, `broken` is set: a page that failed to reach the disk may be marked clean, so this descriptor cannot be trusted again. */
  async sync(): Promise<void> {
    const segment = this.#segment;
    const { bytes } = segment;
    const position = this.#written;
    const count = this.#unsynced.length;
    try {
      await segment.file.datasync();
      await this.#syncNames();
    } catch (error) {
      this.#broken = error;
      throw error;
    }
    this.#synced = { position, segment: segment.name, bytes };
    for (const batch of this.#unsynced.splice(0, count)) this.#unsyncedBytes -= batch.bytes;
  }

  /** Signs what is on disk. */
  async checkpoint(kind: CheckpointKind, options: { readonly sync: boolean }): Promise<void> {
    const { position, segment, bytes } = this.#synced;
    const { chain, clock } = this.#options;
    await this.#checkpoints.append(
      { kind, chain, seq: position.seq, hash: position.hash, segment, bytes, time: timestamp(clock.now()) },
      options,
    );
  }

  /** Signs that a finished segment of this chain is about to be removed. */
  async bury(tombstone: Checkpoint): Promise<void> {
    await this.#checkpoints.append(tombstone, { sync: true });
  }

  /** Finishes the segment with `last` and begins the next. Can be called again after it threw. */
  async rotate(last: () => Entry): Promise<void> {
    const old = this.#segment;
    if (!old.isSealed) {
      await this.write([last()]);
      old.isSealed = true;
    }
    if (this.#unsynced.length > 0) await this.sync();
    await this.checkpoint("seal", { sync: true });
    this.#segment = await createSegment(this.#options, this.#written.seq + 1);
    this.#unnamed.add(join(this.#options.dir, this.#options.chain));
    ignore(old.file.close(), "everything in it is on disk");
  }

  /** After `broken`: gives the segment up at its last durable byte and writes what came later, from memory, into a new one. */
  async repair(): Promise<void> {
    const old = this.#segment;
    const { position } = this.#synced;
    const kept = this.#synced.segment === old.name ? this.#synced.bytes : 0;
    // the disk may refuse, and the statement below makes the rest void anyway
    ignore(old.file.truncate(kept), "the abandon checkpoint says where the segment ends");
    if (kept > 0) await this.checkpoint("abandon", { sync: true });
    // an earlier try, or the old segment itself when nothing of it counts
    await this.#options.files.remove(join(this.#options.dir, this.#options.chain, segmentName(position.seq + 1)));
    const entries = this.#unsynced.flatMap((batch) => batch.entries).filter((entry) => !entry.isVoid);
    const { bytes, position: head } = chainOn(this.#options.chain, position, entries);
    const segment = await createSegment(this.#options, position.seq + 1);
    this.#unnamed.add(join(this.#options.dir, this.#options.chain));
    try {
      await segment.file.append(bytes);
      await segment.file.datasync();
      await this.#syncNames();
    } catch (error) {
      ignore(segment.file.close(), "it is given up");
      await this.#options.files.remove(join(this.#options.dir, this.#options.chain, segment.name));
      throw error;
    }
    segment.bytes = bytes.length;
    this.#segment = segment;
    this.#written = head;
    if (entries.length > 0) this.#synced = { position: head, segment: segment.name, bytes: bytes.length };
    this.#unsynced = [];
    this.#unsyncedBytes = 0;
    this.#broken = undefined;
    ignore(old.file.close(), "it is given up");
  }

  async close(): Promise<void> {
    await this.#segment.file.close();
    await this.#checkpoints.close();
  }

  /** The chain must end in a whole line whatever a failed write left behind. */
  async #cutBack(segment: Segment, cause: unknown): Promise<void> {
    try {
      await segment.file.truncate(segment.bytes);
      // out of space is the one failure after which the same descriptor can be used again
      if (!isDiskFull(cause)) this.#broken = cause;
    } catch (error) {
      this.#broken = error;
    }
  }

  async #syncNames(): Promise<void> {
    for (const path of [...this.#unnamed]) {
      await this.#options.files.syncDirectory(path);
      this.#unnamed.delete(path);
    }
  }
}

function chainOn(chain: string, from: Position, entries: readonly Entry[]): { readonly bytes: Buffer; readonly position: Position } {
  let { seq, hash } = from;
  let text = "";
  for (const entry of entries) {
    seq += 1;
    const made = formatLine(chain, seq, hash, entry.json);
    text += made.line;
    hash = made.hash;
  }
  return { bytes: Buffer.from(text), position: { seq, hash } };
}

async function createSegment(options: ChainWriterOptions, firstSeq: number): Promise<Segment> {
  const name = segmentName(firstSeq);
  const file = await options.files.create(join(options.dir, options.chain, name));
  return { name, file, openedMs: options.clock.now(), bytes: 0, isSealed: false };
}
