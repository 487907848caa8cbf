import { lockHolder, ProcessLock } from "../store/process-lock.ts";

/** One server per state directory: the lock, or undefined when another process serves. */
export function takeServeLock(path: string): ProcessLock | undefined {
  return ProcessLock.take(path);
}

/** The process that serves a state directory; undefined when none does. */
export const serveLockHolder = lockHolder;
