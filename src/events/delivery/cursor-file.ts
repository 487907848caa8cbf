import { constants } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { isChainId } from "../chain.ts";
import { membersOf, parseJson } from "../../base/parse-json.ts";
import type { ReadCursor } from "../read-forward.ts";
import { appendDurably, replaceFile } from "./atomic-file.ts";
import { sinkDirectory } from "./place.ts";

export type Positions = { readonly chains: ReadonlyMap<string, ReadCursor>; readonly finished: ReadonlySet<string> };

const CURSOR = "cursor.json";
const FINISHED = "finished";

/** What a sink has had, read without holding it; undefined when there is nothing that can be read: everything is sent again then. */
export async function readPositions(dir: string, sink: string): Promise<Positions | undefined> {
  const path = sinkDirectory(dir, sink);
  const text = await textOf(join(path, CURSOR));
  const chains = text === undefined ? undefined : parseCursor(text);
  if (chains === undefined) return undefined;
  const finished = new Set(((await textOf(join(path, FINISHED))) ?? "").split("\n").filter(isChainId));
  return { chains, finished };
}

/**
 * The positions of one sink on disk. A position is written only after the events before it are on disk themselves: a power cut may
 * take lines that were read, and what is then written under their numbers must not count as delivered.
 */
export class CursorFile {
  readonly #eventsDir: string;
  readonly #path: string;
  readonly #synced = new Map<string, number>();
  #finished = new Set<string>();

  private constructor(eventsDir: string, path: string) {
    this.#eventsDir = eventsDir;
    this.#path = path;
  }

  /** `existing`: only chains that still exist are kept in mind. */
  static async open(
    dir: string,
    sink: string,
    eventsDir: string,
    existing: ReadonlySet<string>,
  ): Promise<{ readonly file: CursorFile; readonly positions: Positions | undefined }> {
    const path = sinkDirectory(dir, sink);
    await mkdir(path, { recursive: true, mode: 0o700 });
    const file = new CursorFile(eventsDir, path);
    const positions = await readPositions(dir, sink);
    if (positions === undefined) return { file, positions };
    file.#finished = new Set([...positions.finished].filter((chain) => existing.has(chain)));
    if (file.#finished.size !== positions.finished.size) await file.#rewriteFinished();
    return { file, positions: { chains: positions.chains, finished: new Set(file.#finished) } };
  }

  /** @throws when the disk refuses; the positions in memory then go on, and are sent again after a crash */
  async save(chains: ReadonlyMap<string, ReadCursor>, finished: ReadonlySet<string>): Promise<void> {
    for (const [chain, cursor] of chains) await this.#syncEvents(chain, cursor);
    const added = [...finished].filter((chain) => !this.#finished.has(chain));
    const isShorter = [...this.#finished].some((chain) => !finished.has(chain));
    if (isShorter) {
      this.#finished = new Set(finished);
      await this.#rewriteFinished();
    } else if (added.length > 0) {
      await appendDurably(join(this.#path, FINISHED), `\n${added.join("\n")}\n`);
      for (const chain of added) this.#finished.add(chain);
    }
    await replaceFile(join(this.#path, CURSOR), `${JSON.stringify({ v: 1, chains: Object.fromEntries(chains) })}\n`);
  }

  async #rewriteFinished(): Promise<void> {
    await replaceFile(join(this.#path, FINISHED), `${[...this.#finished].join("\n")}\n`);
  }

  async #syncEvents(chain: string, { seq, segment }: ReadCursor): Promise<void> {
    if (segment === undefined || this.#synced.get(chain) === seq) return;
    await syncSegment(join(this.#eventsDir, chain, segment));
    this.#synced.set(chain, seq);
  }
}

/** Waits until what was read from a segment is on disk; one that retention removed needs nothing. */
export async function syncSegment(path: string): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

function parseCursor(text: string): ReadonlyMap<string, ReadCursor> | undefined {
  const { chains: written } = membersOf(parseJson(text));
  if (typeof written !== "object" || written === null) return undefined;
  const chains = new Map<string, ReadCursor>();
  for (const [chain, cursor] of Object.entries(membersOf(written))) {
    if (!isChainId(chain) || !isCursor(cursor)) return undefined;
    chains.set(chain, cursor);
  }
  return chains;
}

function isCursor(value: unknown): value is ReadCursor {
  if (typeof value !== "object" || value === null) return false;
  const { seq, segment, offset } = value as Readonly<Record<string, unknown>>;
  const isPlace =
    (segment === undefined && offset === undefined) || (typeof segment === "string" && /^\d{16}\.jsonl$/.test(segment) && isCount(offset));
  return isCount(seq) && isPlace;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
