import { constants, type Dirent } from "node:fs";
import { type FileHandle, open, opendir, readdir } from "node:fs/promises";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Up to this size of its own a directory is read at once: some ten thousand entries. */
const WHOLE_BYTES = 1024 * 1024;
/** Not among Node's constants; asm-generic/fcntl.h, the same on x86-64 and arm64. */
const O_PATH = 0o10000000;

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

  /**
   * The same for a path that was resolved before: no directory above may have become a symlink since.
   * @throws ENOTDIR or ELOOP when one has
   */
  static async openResolved(path: string): Promise<HeldDirectory> {
    const parts = path.split("/").filter((part) => part !== "");
    const last = parts.pop();
    if (last === undefined) return HeldDirectory.open("/");
    // O_PATH: passing through a directory needs no right to list it
    let above = new HeldDirectory(await open("/", O_PATH | constants.O_DIRECTORY));
    try {
      for (const part of parts) {
        const next = new HeldDirectory(await open(above.entry(part, "utf8"), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW));
        await above[Symbol.asyncDispose]();
        above = next;
      }
      return new HeldDirectory(await open(above.entry(last, "utf8"), DIRECTORY));
    } finally {
      await above[Symbol.asyncDispose]();
    }
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** Path of an entry for one system call; `name` is one component, latin1 unless it says otherwise. */
  entry(name: string, encoding: "latin1" | "utf8" = "latin1"): Buffer {
    if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
      throw new RangeError(`not one path component: ${JSON.stringify(name)}`);
    }
    return Buffer.concat([Buffer.from(`/proc/self/fd/${this.#handle.fd}/`), Buffer.from(name, encoding)]);
  }

  /** The directory itself as a path, for readdir. */
  get self(): string {
    return `/proc/self/fd/${this.#handle.fd}/.`;
  }

  /** Its entries, names as latin1. Of a large directory only a part is in memory, since whoever filled it may have meant that. */
  async *entries(): AsyncGenerator<Dirent> {
    const { size } = await this.#handle.stat();
    if (size <= WHOLE_BYTES) yield* await readdir(this.self, { encoding: "latin1", withFileTypes: true });
    else yield* await opendir(this.self, { encoding: "latin1", bufferSize: 1024 });
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
