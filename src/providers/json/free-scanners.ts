import type { PathNode } from "./paths.ts";
import { JsonScanner, type JsonSink } from "./scanner.ts";

/** documents that are open over a chunk's end have theirs; these are for the next ones */
const MAX_FREE = 16;

const FREE: JsonScanner[] = [];

/**
 * A scanner for one document. It holds nothing between two documents, so streams share them: that of the stream before is still in the
 * processor's caches, where one of a stream's own would be fetched from memory for every event.
 */
export function takeScanner(root: PathNode, sink: JsonSink, cap: number): JsonScanner {
  const free = FREE.pop();
  if (free === undefined) return new JsonScanner(root, sink, cap);
  free.reset(root, sink, cap);
  return free;
}

/** After the document, once, and only when no call into the scanner is under way; the giver forgets it. */
export function giveBackScanner(scanner: JsonScanner): void {
  if (FREE.length < MAX_FREE) FREE.push(scanner);
}
