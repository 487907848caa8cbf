import type { Cli } from "./cli.ts";

/**
 * What a command that follows something waits for beside it: aborted by Ctrl-C, by SIGTERM, and when nobody reads stdout any more
 * (`agentkernel audit tail -f | grep -m1 DENY`). It ends in order then.
 */
export function untilStopped({ output }: Cli): AbortSignal {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGINT", end).once("SIGTERM", end);
  return AbortSignal.any([stop.signal, output.unread]);
}
