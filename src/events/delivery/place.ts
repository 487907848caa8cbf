import { join } from "node:path";

/**
 * Where delivery keeps its state, one folder for each sink:
 *
 *     NAME/cursor.json      positions in unfinished chains
 *     NAME/finished         ids of chains that were delivered whole, one a line
 *     NAME/dead.jsonl       events that the destination will never take, with the reason
 *     NAME/owner.json       the configuration it stands in, and where it leads
 *     NAME/requests/*.json  what operators ask the delivering process to do
 */
export function sinkDirectory(dir: string, sink: string): string {
  return join(dir, sink);
}
