import { join } from "node:path";

/**
 * Where delivery keeps its state, one folder for each sink:
 *
 *     NAME/cursor.json      positions in unfinished chains
 *     NAME/finished         ids of chains that were delivered whole, one a line
 *     NAME/dead.jsonl       events that the destination will never take, with the reason
 *     NAME/requests/*.json  what operators ask the delivering process to do
 */
export function sinkDirectory(dir: string, sink: string): string {
  return join(dir, sink);
}

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

export function isSinkName(text: string): boolean {
  return NAME.test(text);
}
