import { stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/error.ts";
import type { Event, EventType } from "../schema/event.ts";
import { listChains, listSegments } from "./layout.ts";
import { newestFirst } from "./read-backward.ts";

export type TailQuery = {
  readonly dir: string;
  /** how many events, at most */
  readonly last: number;
  readonly sinceMs?: number;
  /** by name */
  readonly sandbox?: string;
  readonly types?: readonly EventType[];
  /** only what was denied, or would have been where policy only observes */
  readonly denied?: boolean;
};

/** An event's own time may be later than the file's by this much: clocks are set, and files are copied. */
const SLACK_MS = 60_000;

type Cursor = { readonly lines: AsyncGenerator<Event>; readonly head: Event; readonly atMs: number };

/** The newest events of all chains that fit, oldest first. A log that does not exist is empty. */
export async function tailEvents(query: TailQuery): Promise<readonly Event[]> {
  const events: Event[] = [];
  if (query.last <= 0) return events;
  for await (const event of readEvents(query)) {
    events.push(event);
    if (events.length >= query.last) break;
  }
  return events.reverse();
}

/** All chains merged by time, newest first; holds one block per chain whose time overlaps. */
export async function* readEvents(query: Omit<TailQuery, "last">): AsyncGenerator<Event> {
  const since = query.sinceMs ?? 0;
  const types = query.types === undefined ? undefined : new Set<string>(query.types);
  const closed = (await chainsByAge(query.dir)).filter((chain) => chain.untilMs + SLACK_MS >= since);
  const open: Cursor[] = [];
  let next = 0;
  for (;;) {
    let newest = latestOf(open);
    // a chain is opened only when it may hold something newer than what is known
    for (
      let chain = closed[next];
      chain !== undefined && (newest === undefined || chain.untilMs + SLACK_MS >= newest.atMs);
      chain = closed[next]
    ) {
      next += 1;
      const cursor = await advance(newestFirst(query.dir, chain.chain));
      if (cursor !== undefined) open.push(cursor);
      newest = latestOf(open);
    }
    if (newest === undefined || newest.atMs + SLACK_MS < since) return;
    const { head, atMs, lines } = newest;
    if (
      atMs >= since &&
      (types === undefined || types.has(head.type)) &&
      (query.sandbox === undefined || head.sandbox === query.sandbox) &&
      (query.denied !== true || isDenied(head))
    )
      yield head;
    open.splice(open.indexOf(newest), 1);
    const cursor = await advance(lines);
    if (cursor !== undefined) open.push(cursor);
  }
}

/** Denied by policy, or observed as what enforcing would deny. */
export function isDenied(event: Event): boolean {
  return ("decision" in event && event.decision === "deny") || ("observed" in event && event.observed === true);
}

async function advance(lines: AsyncGenerator<Event>): Promise<Cursor | undefined> {
  const { value, done } = await lines.next();
  if (done === true) return undefined;
  return { lines, head: value, atMs: Date.parse(value.timestamp) };
}

function latestOf(open: readonly Cursor[]): Cursor | undefined {
  let latest: Cursor | undefined;
  for (const cursor of open) {
    if (latest === undefined || cursor.atMs > latest.atMs || (cursor.atMs === latest.atMs && cursor.head.id > latest.head.id))
      latest = cursor;
  }
  return latest;
}

/** Chains with the time of their last write, newest first. */
async function chainsByAge(dir: string): Promise<readonly { readonly chain: string; readonly untilMs: number }[]> {
  const found: { chain: string; untilMs: number }[] = [];
  for (const chain of await listChains(dir)) {
    const newest = (await listSegments(dir, chain)).at(-1);
    if (newest === undefined) continue;
    try {
      found.push({ chain, untilMs: (await stat(join(dir, chain, newest.name))).mtimeMs });
    } catch (error) {
      // retention was faster
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return found.sort((a, b) => b.untilMs - a.untilMs);
}
