import type { Event, EventType } from "../schema/event.ts";
import { loadCliConfig } from "./cli-config.ts";
import type { Cli } from "./cli.ts";
import { wholeNumber } from "./flag-values.ts";
import { untilStopped } from "./until-stopped.ts";

export type EventQuery = {
  /** how many of those that there are */
  readonly last: number;
  readonly sandbox?: string;
  readonly sinceMs?: number;
  readonly types?: readonly EventType[];
  readonly denied?: boolean;
};

/**
 * The newest events that fit, oldest first; then, to `follow`, those that all processes write, until the command is interrupted. Reads
 * the log itself, so that it works whether or not a server runs.
 */
export async function* readEvents(cli: Cli, query: EventQuery, follow: boolean): AsyncGenerator<Event> {
  const { paths } = await loadCliConfig(cli);
  const { followAudit, isDenied, tailAudit } = await import("../app/audit/audit.ts");
  // it begins before the past is read, so that nothing falls between
  const feed = follow ? await followAudit(paths, untilStopped(cli)) : undefined;
  const past = await tailAudit(paths, query);
  yield* past;
  if (feed === undefined) return;
  const shown = new Set(past.map(({ id }) => id));
  for await (const event of feed) if (!shown.delete(event.id) && fits(event, query, isDenied)) yield event;
}

function fits(event: Event, { sandbox, types, denied }: EventQuery, isDenied: (event: Event) => boolean): boolean {
  return (
    (sandbox === undefined || event.sandbox === sandbox) &&
    (types === undefined || types.includes(event.type)) &&
    (denied !== true || isDenied(event))
  );
}

/** What `-n` says. @throws VALIDATION */
export function countOf(text: string, max = 100_000): number {
  return wholeNumber("-n", text, { min: 1, max });
}
