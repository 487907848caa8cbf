import { constants } from "node:os";

export type CommandEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly reason?: string };

/** The code that a shell would show: the command's own, 128+n for a signal, 124 for our timeout, 137 for our memory watchdog. */
export function exitCodeOf(end: CommandEnd): number {
  if (end.reason === "timeout") return 124;
  if (end.reason === "memory") return 137;
  if (end.code !== null) return end.code;
  return end.signal === null ? 125 : 128 + constants.signals[end.signal];
}
