import { randomBytes } from "node:crypto";
import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type LogFile, type LogFiles, realFiles } from "../../src/events/files.ts";

type Tracked = { readonly path: string; written: number; synced: number; isNamed: boolean };

/** What goes wrong next; each is asked before the call goes through. */
export type Faults = {
  append?: (path: string, bytes: number) => Error | undefined;
  datasync?: (path: string) => Error | undefined;
  truncate?: (path: string) => Error | undefined;
  create?: (path: string) => Error | undefined;
  syncDirectory?: (path: string) => Error | undefined;
};

export function errno(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/**
 * A disk beneath the writer that can fail on demand and that forgets: after `cutPower` the real files hold what had been synced,
 * of the rest a random part, zeros or nothing, and names whose directory was not synced may be gone.
 */
export class ForgetfulDisk implements LogFiles {
  readonly faults: Faults = {};
  readonly #random: () => number;
  readonly #files = new Map<string, Tracked>();
  /** calls that have not come back */
  readonly #underWay = new Set<Promise<void>>();
  #hasPower = true;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  async create(path: string): Promise<LogFile> {
    this.#check(this.faults.create?.(path));
    const file = await realFiles.create(path);
    const tracked: Tracked = { path, written: 0, synced: 0, isNamed: false };
    this.#files.set(path, tracked);
    return {
      append: this.#watched(async (bytes) => {
        const fault = this.faults.append?.(path, bytes.length);
        if (fault !== undefined) {
          // part of it is on the disk all the same
          const part = Math.floor(this.#random() * bytes.length);
          await file.append(bytes.subarray(0, part));
          tracked.written += part;
        }
        this.#check(fault);
        await file.append(bytes);
        tracked.written += bytes.length;
      }),
      datasync: this.#watched(async () => {
        const upTo = tracked.written;
        // so that writes come between the begin and the end of a sync, as they do on a disk
        await new Promise((resolve) => setImmediate(resolve));
        this.#check(this.faults.datasync?.(path));
        tracked.synced = Math.max(tracked.synced, upTo);
      }),
      truncate: this.#watched(async (length) => {
        this.#check(this.faults.truncate?.(path));
        await file.truncate(length);
        tracked.written = length;
        tracked.synced = Math.min(tracked.synced, length);
      }),
      close: () => file.close(),
    };
  }

  async makeDirectory(path: string): Promise<void> {
    this.#check(undefined);
    await realFiles.makeDirectory(path);
  }

  async syncDirectory(path: string): Promise<void> {
    this.#check(this.faults.syncDirectory?.(path));
    for (const file of this.#files.values()) if (dirname(file.path) === path) file.isNamed = true;
  }

  async remove(path: string): Promise<void> {
    this.#check(undefined);
    this.#files.delete(path);
    await realFiles.remove(path);
  }

  /** From now on nothing gets through, and the files are as the disk remembers them. Returns what it did to each. */
  async cutPower(): Promise<readonly string[]> {
    this.#hasPower = false;
    // a write that came back after the cut would stand behind it, where no disk puts it
    await Promise.allSettled(this.#underWay);
    const told: string[] = [];
    for (const file of this.#files.values()) {
      if (!file.isNamed && this.#random() < 0.5) {
        await rm(file.path, { force: true });
        told.push(`${basename(file.path)}: forgotten`);
        continue;
      }
      const lost = file.written - file.synced;
      const kept = file.synced + Math.floor(this.#random() * (lost + 1));
      const zeros = this.#random() < 0.3 && lost > 0 ? Math.min(4096, file.written - kept) : 0;
      await truncate(file.path, kept);
      if (zeros > 0)
        await writeFile(
          file.path,
          Buffer.concat([
            await readFile(file.path),
            this.#random() < 0.7 ? Buffer.alloc(zeros) : Buffer.concat([Buffer.alloc(512), randomBytes(zeros)]),
          ]),
        );
      told.push(`${basename(file.path)}: ${file.synced} synced of ${file.written}, kept ${kept}, zeros ${zeros}`);
    }
    return told;
  }

  #watched<A extends readonly unknown[]>(call: (...args: A) => Promise<void>): (...args: A) => Promise<void> {
    return (...args) => {
      const made = call(...args);
      this.#underWay.add(made);
      return made.finally(() => this.#underWay.delete(made));
    };
  }

  #check(fault: Error | undefined): void {
    if (!this.#hasPower) throw errno("EIO");
    if (fault !== undefined) throw fault;
  }
}

/** A small generator that can be replayed from its seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
