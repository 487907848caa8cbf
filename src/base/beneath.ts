import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * A directory that stays the one that was opened, whatever happens to its path meanwhile. Names are resolved against its
 * descriptor through /proc/self/fd, one component at a time, so no symlink on the way is ever followed (Node has no openat).
 * Names are bytes, written as latin1 strings, since a file name need not be UTF-8.
 */
export class HeldDirectory implements AsyncDisposable {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** @throws ENOTDIR or ELOOP when `path` itself is a symlink or no directory */
  static async open(path: string): Promise<HeldDirectory> {
    return new HeldDirectory(await open(path, DIRECTORY));
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** Path of an entry for one system call; `name` is one component, latin1. */
  entry(name: string): Buffer {
    if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
      throw new RangeError(`not one path component: ${JSON.stringify(name)}`);
    }
    return Buffer.concat([Buffer.from(`/proc/self/fd/${this.#handle.fd}/`), Buffer.from(name, "latin1")]);
  }

  /** The directory itself as a path, for readdir. */
  get self(): string {
    return `/proc/self/fd/${this.#handle.fd}/.`;
  }

  /** A directory below, without following a symlink. */
  async descend(name: string): Promise<HeldDirectory> {
    return new HeldDirectory(await open(this.entry(name), DIRECTORY));
  }

  /** The directory at `parts` below this one; closes what it opened on the way. */
  async walk(parts: readonly string[]): Promise<HeldDirectory> {
    let at = new HeldDirectory(await open(this.self, DIRECTORY));
    for (const part of parts) {
      const above = at;
      try {
        at = await above.descend(part);
      } finally {
        await above[Symbol.asyncDispose]();
      }
    }
    return at;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
