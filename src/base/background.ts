import { messageOf } from "./error.ts";
import type { Log } from "./log.ts";

/** Lets a promise run on without being awaited; a rejection is logged under `name`, never lost. */
export function background(name: string, promise: Promise<unknown>, log: Log): void {
  promise.catch((error: unknown) => log.error("background work failed", { name, error: messageOf(error) }));
}

/** Drops the outcome of a promise on purpose; `reason` says why that is safe. */
export function ignore(promise: Promise<unknown>, reason: string): void {
  promise.catch(() => reason);
}
