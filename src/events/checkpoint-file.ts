import { type Checkpoint, FIRST_CHECKPOINT, formatCheckpoint, hashCheckpointLine, type Signer } from "./checkpoint.ts";
import type { LogFile } from "./files.ts";

/** Where an existing checkpoint file ends. */
export type CheckpointTail = { readonly bytes: number; readonly prev: string };

export const EMPTY_TAIL: CheckpointTail = { bytes: 0, prev: FIRST_CHECKPOINT };

/** Appends signed lines to one chain's checkpoint file; a line that was written in part is cut before the next one. */
export class CheckpointFile {
  readonly #file: LogFile;
  readonly #signer: Signer;
  #bytes: number;
  #prev: string;
  #isCut = false;
  /** one line at a time, since each carries the hash of the one before */
  #turn: Promise<void> = Promise.resolve();

  constructor(file: LogFile, signer: Signer, tail: CheckpointTail) {
    this.#file = file;
    this.#signer = signer;
    this.#bytes = tail.bytes;
    this.#prev = tail.prev;
  }

  append(checkpoint: Checkpoint, options: { readonly sync: boolean }): Promise<void> {
    const done = this.#turn.then(() => this.#append(checkpoint, options));
    // the caller hears of the failure; the next line does not wait for it to be handled
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#file.close();
  }

  async #append(checkpoint: Checkpoint, options: { readonly sync: boolean }): Promise<void> {
    if (this.#isCut) {
      await this.#file.truncate(this.#bytes);
      this.#isCut = false;
    }
    const line = formatCheckpoint(checkpoint, this.#prev, this.#signer);
    const bytes = Buffer.from(`${line}\n`);
    try {
      await this.#file.append(bytes);
    } catch (error) {
      this.#isCut = true;
      throw error;
    }
    this.#bytes += bytes.length;
    this.#prev = hashCheckpointLine(line);
    if (options.sync) await this.#file.datasync();
  }
}
