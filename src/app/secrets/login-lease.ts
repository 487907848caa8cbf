import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { ProcessLock } from "../../store/process-lock.ts";

/** how often a lock of another process is looked at (ms) */
const POLL_MS = 25;

/**
 * The right to renew a file with logins, of one process at a time; undefined when another had it all the time. The kernel gives the
 * lock of a process up that dies, in whatever way. @throws AppError STATE_UNUSABLE
 */
export async function takeLoginLease(folder: string, path: string, waitMs: number): Promise<Disposable | undefined> {
  const end = performance.now() + waitMs;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, `${createHash("sha256").update(withoutLinks(path)).digest("hex").slice(0, 32)}.lock`);
  for (;;) {
    const lock = ProcessLock.take(file);
    if (lock !== undefined || performance.now() >= end) return lock;
    await setTimeout(POLL_MS, undefined, { ref: false });
  }
}

/** One file has one lease, by whatever name it is known. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // away for a moment while somebody replaces it
    return path;
  }
}
