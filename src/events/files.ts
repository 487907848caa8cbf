import { constants } from "node:fs";
import { type FileHandle, mkdir, open, unlink } from "node:fs/promises";
import { errnoOf } from "../base/error.ts";

/** An append-only file of the log. One `append` is one write of all bytes, or it throws. */
export interface LogFile {
  append(bytes: Uint8Array): Promise<void>;
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** The calls that the writer makes to the file system, so that a test can put a disk beneath it that fails or forgets. */
export interface LogFiles {
  /** mode 0600, must not exist, never through a symlink */
  create(path: string): Promise<LogFile>;
  /** mode 0700; one that exists is fine */
  makeDirectory(path: string): Promise<void>;
  /** makes names in a directory survive a power cut */
  syncDirectory(path: string): Promise<void>;
  /** a file that does not exist is fine */
  remove(path: string): Promise<void>;
}

// O_APPEND also permits `chattr +a`
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND | constants.O_NOFOLLOW;
const EXTEND = constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW;

export const realFiles: LogFiles = {
  create: async (path) => new HandleFile(await open(path, CREATE, 0o600)),
  makeDirectory: async (path) => {
    await mkdir(path, { mode: 0o700, recursive: true });
  },
  syncDirectory,
  remove: async (path) => {
    try {
      await unlink(path);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  },
};

/** A file that exists, to be extended or cut. */
export async function openExisting(path: string): Promise<LogFile> {
  return new HandleFile(await open(path, EXTEND));
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

class HandleFile implements LogFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(bytes: Uint8Array): Promise<void> {
    let done = 0;
    // a regular file takes a write whole, except when the disk fills up or a quota or file size limit is met
    while (done < bytes.length) done += (await this.#handle.write(bytes, done, bytes.length - done)).bytesWritten;
  }

  async datasync(): Promise<void> {
    await this.#handle.datasync();
  }

  async truncate(length: number): Promise<void> {
    await this.#handle.truncate(length);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
