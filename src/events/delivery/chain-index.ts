import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { lastOf } from "../heads.ts";
import { listChains, listSegments, ownersDir } from "../layout.ts";

/** What there is of one chain. */
export type ChainState = {
  readonly chain: string;
  /** first number that is still held */
  readonly firstSeq: number;
  /** last number; `firstSeq - 1` when there is none */
  readonly headSeq: number;
  /** somebody writes it, or will finish it */
  readonly isOpen: boolean;
};

type Entry = { -readonly [K in keyof ChainState]: ChainState[K] } & { measured: string; absences: number };

/** All chains of the log with their ends, for every sink together: what is asked of the file system, is asked once. */
export class ChainIndex {
  readonly #dir: string;
  readonly #entries = new Map<string, Entry>();
  #names: ReadonlySet<string> = new Set();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** every chain there is, wanted or not */
  names(): ReadonlySet<string> {
    return this.#names;
  }

  get(chain: string): ChainState | undefined {
    return this.#entries.get(chain);
  }

  all(): Iterable<ChainState> {
    return this.#entries.values();
  }

  /** Knows it sooner than the file system is asked: an event of this process's own chain was written. */
  note(chain: string, seq: number): void {
    const entry = this.#entries.get(chain);
    if (entry !== undefined && seq > entry.headSeq) entry.headSeq = seq;
  }

  /** Looks again. `isWanted` false: nobody has to read that chain any more, and nothing more is asked about it. */
  async refresh(isWanted: (chain: string) => boolean): Promise<void> {
    // in this order: a chain without an owner after it was seen is finished, for its owner comes before it and goes after its last line
    const names = await listChains(this.#dir);
    const owned = await ownedChains(this.#dir);
    this.#names = new Set(names);
    for (const chain of this.#entries.keys()) if (!this.#names.has(chain) || !isWanted(chain)) this.#entries.delete(chain);
    for (const chain of names) {
      if (!isWanted(chain)) continue;
      const known = this.#entries.get(chain);
      if (known?.isOpen === false) continue;
      const entry = known ?? { chain, firstSeq: 1, headSeq: 0, isOpen: true, measured: "", absences: 0 };
      // readdir may miss a name that is renamed meanwhile (a chain that is taken over): absent twice is absent
      entry.absences = owned.has(chain) ? 0 : entry.absences + 1;
      await this.#measure(entry);
      entry.isOpen = entry.absences < 2;
      this.#entries.set(chain, entry);
    }
  }

  async #measure(entry: Entry): Promise<void> {
    const segments = await listSegments(this.#dir, entry.chain);
    const [oldest, newest] = [segments[0], segments.at(-1)];
    if (oldest === undefined || newest === undefined) return;
    entry.firstSeq = oldest.firstSeq;
    const path = join(this.#dir, entry.chain, newest.name);
    try {
      const { size } = await stat(path);
      const measured = `${newest.name}:${size}`;
      if (measured === entry.measured) return;
      entry.headSeq = Math.max(entry.headSeq, (await lastOf(path))?.seq ?? newest.firstSeq - 1);
      entry.measured = measured;
    } catch (error) {
      // retention was faster
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}

async function ownedChains(dir: string): Promise<ReadonlySet<string>> {
  try {
    return new Set((await readdir(ownersDir(dir))).map((name) => name.slice(0, name.indexOf("."))));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return new Set();
    throw error;
  }
}
