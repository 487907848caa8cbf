import { open } from "node:fs/promises";
import { background } from "../base/background.ts";
import { AppError, errnoOf, isDiskFull } from "../base/error.ts";
import type { Log } from "../base/log.ts";

/**
 * Makes commits of synchronous = NORMAL durable without holding the event loop: in WAL mode a commit is a write to the `-wal` file
 * (https://www.sqlite.org/wal.html), and its fdatasync can happen in another thread. Many requests share one.
 */
export class WalSync {
  readonly #path: string | undefined;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param file of the database; `:memory:` has nothing to sync */
  constructor(file: string, log: Log) {
    this.#path = file === ":memory:" ? undefined : `${file}-wal`;
    this.#log = log;
  }

  /** Soon, in the background. */
  request(): void {
    background("state sync", this.flush(), this.#log);
  }

  /** Resolves when every commit made before the call is on disk. @throws AppError STATE_UNUSABLE, DISK_FULL */
  async flush(): Promise<void> {
    if (this.#path === undefined) return;
    // the one under way may have begun before the commit, so it does not count
    this.#next ??= (this.#running ?? Promise.resolve()).then(
      () => this.#start(),
      () => this.#start(),
    );
    await this.#next;
  }

  #start(): Promise<void> {
    this.#next = undefined;
    this.#running = this.#sync().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #sync(): Promise<void> {
    if (this.#path === undefined) return;
    try {
      await using handle = await open(this.#path, "r");
      await handle.datasync();
    } catch (error) {
      // closed meanwhile: the last connection checkpoints into the database itself
      if (errnoOf(error) === "ENOENT") return;
      // some file systems tell only here that there was no room for what was written
      throw new AppError(isDiskFull(error) ? "DISK_FULL" : "STATE_UNUSABLE", `what was written to ${this.#path} did not reach the disk`, {
        cause: error,
        hint: isDiskFull(error) ? "free space on its file system" : "check the disk: dmesg",
      });
    }
  }
}
