import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import type { Event } from "../schema/event.ts";
import { parseLine } from "./chain.ts";
import { listSegments } from "./layout.ts";
import { parseJson } from "../base/parse-json.ts";

/** Longer than any line of ours, so that a block and what is left of the one before hold a whole line soon. */
const BLOCK = 128 * 1024;
/** A run of bytes without a newline that is longer is no line of ours. */
const LONGEST = 1 << 20;

/**
 * The events of one chain, newest first. Bad lines are left out: reading is for people, `verify` is for proof.
 * A file is open only while a block is read.
 */
export async function* newestFirst(dir: string, chain: string): AsyncGenerator<Event> {
  let lowest = Number.POSITIVE_INFINITY;
  for (const segment of [...(await listSegments(dir, chain))].reverse()) {
    for await (const line of linesBackward(join(dir, chain, segment.name))) {
      const parsed = parseLine(line, 0, line.length);
      // a segment that was given up may end in what the next one repeats
      if (parsed === undefined || parsed.seq >= lowest) continue;
      const event = parseEvent(line.toString("utf8", parsed.eventStart, parsed.eventEnd));
      if (event === undefined) continue;
      lowest = parsed.seq;
      yield event;
    }
  }
}

/** The JSON of an event; undefined when it is none. */
export function parseEvent(json: string): Event | undefined {
  const value = parseJson(json);
  // what stands in the log was checked when it was made; a changed line is for `verify` to find
  return typeof value === "object" && value !== null && "type" in value && "timestamp" in value && "id" in value
    ? (value as Event)
    : undefined;
}

/** Whole lines from the end to the beginning, without their newlines; an unfinished last one is left out. */
async function* linesBackward(path: string): AsyncGenerator<Buffer> {
  let position = await readBlock(path, undefined);
  // bytes before the first newline of the block that was read last
  let rest: Buffer | undefined;
  while (position !== undefined) {
    const { bytes, offset } = position;
    const block = rest === undefined ? bytes : Buffer.concat([bytes, rest]);
    let end = rest === undefined ? block.lastIndexOf(0x0a) : block.length;
    for (
      let newline = end > 0 ? block.lastIndexOf(0x0a, end - 1) : -1;
      newline !== -1;
      newline = end > 0 ? block.lastIndexOf(0x0a, end - 1) : -1
    ) {
      yield block.subarray(newline + 1, end);
      end = newline;
    }
    if (end === -1 || end > LONGEST) end = 0;
    if (offset === 0) {
      if (end > 0) yield block.subarray(0, end);
      return;
    }
    // an unfinished end without any newline is dropped, the search for the last newline goes on
    rest = rest === undefined && block.lastIndexOf(0x0a) === -1 ? undefined : Buffer.from(block.subarray(0, end));
    position = await readBlock(path, offset);
  }
}

/** The block that ends at `end`, or at the end of the file. */
async function readBlock(path: string, end: number | undefined): Promise<{ readonly bytes: Buffer; readonly offset: number } | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    // retention was faster
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const to = end ?? (await handle.stat()).size;
    const offset = Math.max(0, to - BLOCK);
    const bytes = Buffer.alloc(to - offset);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset);
    return { bytes: bytes.subarray(0, bytesRead), offset };
  } finally {
    await handle.close();
  }
}
