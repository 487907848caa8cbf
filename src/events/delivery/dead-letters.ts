import { constants } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { forEachLine } from "../lines.ts";
import { membersOf, parseJson } from "../../base/parse-json.ts";
import { parseEvent } from "../read-backward.ts";
import type { Event } from "../../schema/event.ts";
import { appendDurably, replaceFile } from "./atomic-file.ts";
import { sinkDirectory } from "./place.ts";

/** An event that its destination will never take as it is. */
export type DeadLetter = {
  /** RFC 3339, when it was given up */
  readonly time: string;
  readonly reason: string;
  readonly chain: string;
  readonly seq: number;
  readonly event: Event;
};

const FILE = "dead.jsonl";
/** letters of a sink beyond which it is paused: a receiver that refuses everything has another fault than one event's */
export const MAX_LETTERS = 10_000;

/** The dead letters of one sink: one line each, read from disk whenever they are needed. */
export class DeadLetters {
  readonly #dir: string;
  #count = 0;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(dir: string, sink: string): Promise<DeadLetters> {
    const letters = new DeadLetters(sinkDirectory(dir, sink));
    await mkdir(letters.#dir, { recursive: true, mode: 0o700 });
    await eachLetter(join(letters.#dir, FILE), () => {
      letters.#count += 1;
      return true;
    });
    return letters;
  }

  get count(): number {
    return this.#count;
  }

  /** On disk when it resolves. One that is there already (a crash came before the cursor) is read as one. */
  async add(letters: readonly DeadLetter[]): Promise<void> {
    // a crash may have left a line without its end, which must not take the next one with it
    await appendDurably(join(this.#dir, FILE), `\n${letters.map((letter) => `${JSON.stringify(letter)}\n`).join("")}`);
    this.#count += letters.length;
  }

  /** The oldest ones. */
  async first(limit: number): Promise<readonly DeadLetter[]> {
    const found: DeadLetter[] = [];
    await eachLetter(join(this.#dir, FILE), (letter) => found.push(letter) < limit);
    return found;
  }

  /** Takes those out that were delivered after all, or all of them. */
  async remove(gone: readonly DeadLetter[] | "all"): Promise<number> {
    const keys = gone === "all" ? undefined : new Set(gone.map(keyOf));
    const kept: string[] = [];
    let removed = 0;
    await eachLetter(join(this.#dir, FILE), (letter) => {
      if (keys?.has(keyOf(letter)) ?? true) removed += 1;
      else kept.push(`${JSON.stringify(letter)}\n`);
      return true;
    });
    if (removed > 0) await replaceFile(join(this.#dir, FILE), kept.join(""));
    this.#count = kept.length;
    return removed;
  }
}

/** Oldest first, whether or not somebody delivers. */
export async function readDeadLetters(dir: string, sink: string, limit: number): Promise<readonly DeadLetter[]> {
  const found: DeadLetter[] = [];
  await eachLetter(join(sinkDirectory(dir, sink), FILE), (letter) => found.push(letter) < limit);
  return found;
}

async function eachLetter(path: string, visit: (letter: DeadLetter) => boolean): Promise<void> {
  try {
    await (await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)).close();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  const seen = new Set<string>();
  await forEachLine(path, {}, (bytes, start, end, { isWhole }) => {
    const letter = isWhole ? parseLetter(bytes.toString("utf8", start, end)) : undefined;
    if (letter === undefined || seen.has(keyOf(letter))) return true;
    seen.add(keyOf(letter));
    return visit(letter);
  });
}

function parseLetter(text: string): DeadLetter | undefined {
  const { time, reason, chain, seq, event } = membersOf(parseJson(text));
  const parsed = parseEvent(JSON.stringify(event ?? null));
  if (
    typeof time !== "string" ||
    typeof reason !== "string" ||
    typeof chain !== "string" ||
    typeof seq !== "number" ||
    parsed === undefined
  )
    return undefined;
  return { time, reason, chain, seq, event: parsed };
}

function keyOf({ chain, seq }: Pick<DeadLetter, "chain" | "seq">): string {
  return `${chain}:${seq}`;
}
