import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { parseCheckpoint } from "../checkpoint.ts";
import { CHECKPOINTS } from "../layout.ts";
import type { LogRecord } from "../read-forward.ts";
import type { ChainMark } from "../sinks/sink.ts";
import { syncSegment } from "./cursor-file.ts";

const TAIL = 4096;

/** Finds what a batch says about its chain: the newest signed checkpoint, or its own last event before there is one. */
export class ChainMarks {
  readonly #dir: string;
  #held: { readonly chain: string; readonly size: number; readonly mark: ChainMark } | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async markFor(last: LogRecord, segment: string | undefined): Promise<ChainMark | undefined> {
    const signed = await this.#newest(last.chain);
    if (signed !== undefined) return signed;
    if (segment === undefined) return undefined;
    // it is to be remembered elsewhere, so no power cut may take it back
    await syncSegment(join(this.#dir, last.chain, segment));
    return { head: `${last.chain}:${last.seq}:${last.hash}` };
  }

  async #newest(chain: string): Promise<ChainMark | undefined> {
    let handle: Awaited<ReturnType<typeof open>>;
    try {
      handle = await open(join(this.#dir, chain, CHECKPOINTS), constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      const { size } = await handle.stat();
      if (this.#held?.chain === chain && this.#held.size === size) return this.#held.mark;
      const offset = Math.max(0, size - TAIL);
      const bytes = Buffer.alloc(size - offset);
      await handle.read(bytes, 0, bytes.length, offset);
      const line = bytes
        .toString("latin1")
        .split("\n")
        .slice(0, -1)
        .findLast((text) => {
          const checkpoint = parseCheckpoint(text);
          return checkpoint !== undefined && checkpoint.kind !== "tombstone" && checkpoint.seq > 0;
        });
      const checkpoint = line === undefined ? undefined : parseCheckpoint(line);
      if (line === undefined || checkpoint === undefined) return undefined;
      const mark = { head: `${chain}:${checkpoint.seq}:${checkpoint.hash}`, checkpoint: line };
      this.#held = { chain, size, mark };
      return mark;
    } finally {
      await handle.close();
    }
  }
}
