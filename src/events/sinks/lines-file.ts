import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type Clock, timestamp } from "../../base/clock.ts";
import { errnoOf, messageOf } from "../../base/error.ts";
import { syncDirectory } from "../files.ts";
import { DELIVERED, type Sink, type SinkAnswer, type SinkBatch } from "./sink.ts";

export type LinesFileOptions = {
  /** absolute; folders above are made */
  readonly path: string;
  /** the file is renamed past this size; nothing is removed */
  readonly rotateBytes: number;
  /** marks of the chain go into `PATH.heads`, in the form that `audit verify --anchors` takes */
  readonly keepsHeads: boolean;
  readonly clock: Clock;
};

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

type Open = { readonly handle: FileHandle; readonly inode: number; bytes: number };

/**
 * Appends one JSON line for each event, mode 0600, one write for a batch. Success is that the write was whole and fdatasync
 * returned. A file that somebody moved away (logrotate) is opened anew under its name before the next batch.
 */
export class LinesFile implements Sink {
  readonly #options: LinesFileOptions;
  #open: Open | undefined;
  #lastHead = "";

  constructor(options: LinesFileOptions) {
    this.#options = options;
  }

  async send({ items, mark }: SinkBatch): Promise<SinkAnswer> {
    const lines = items.flatMap(({ bodies }) => bodies.map((body) => `${JSON.stringify(body)}\n`));
    try {
      await this.#append(lines);
      if (this.#options.keepsHeads && mark !== undefined && mark.head !== this.#lastHead) {
        await appendLine(`${this.#options.path}.heads`, mark.checkpoint ?? mark.head);
        this.#lastHead = mark.head;
      }
      return DELIVERED;
    } catch (error) {
      await this.#close();
      return { kind: "retry", reason: `${this.#options.path}: ${messageOf(error)}` };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #append(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(lines.join(""));
    const file = await this.#current(bytes.length);
    const before = file.bytes;
    const { bytesWritten } = await file.handle.write(bytes);
    if (bytesWritten < bytes.length) {
      // the disk filled up within a line; what is there of it goes, since the whole batch comes again
      await file.handle.truncate(before);
      throw new Error("the disk took only a part of it");
    }
    file.bytes += bytes.length;
    await file.handle.datasync();
  }

  async #current(coming: number): Promise<Open> {
    const { path, rotateBytes, clock } = this.#options;
    let file = this.#open;
    if (file !== undefined && file.inode !== (await inodeOf(path))) {
      await this.#close();
      file = undefined;
    }
    file ??= await this.#reopen();
    if (file.bytes > 0 && file.bytes + coming > rotateBytes) {
      await this.#close();
      await rename(path, `${path}.${timestamp(clock.now()).replaceAll(":", "-")}`);
      file = await this.#reopen();
    }
    return file;
  }

  async #reopen(): Promise<Open> {
    const { path } = this.#options;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(path, FLAGS, 0o600);
    try {
      const found = await handle.stat();
      if (!found.isFile()) throw new Error("it is not a regular file");
      const file: Open = { handle, inode: found.ino, bytes: found.size };
      if (found.size === 0) await syncDirectory(dirname(path));
      else if (await endsWithinLine(path, found.size)) file.bytes += (await handle.write("\n")).bytesWritten;
      this.#open = file;
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async #close(): Promise<void> {
    const file = this.#open;
    this.#open = undefined;
    await file?.handle.close();
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A crash left a line without its end: the next one must not be glued to it. */
async function endsWithinLine(path: string, size: number): Promise<boolean> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const last = Buffer.alloc(1);
    await handle.read(last, 0, 1, size - 1);
    return last[0] !== 0x0a;
  } finally {
    await handle.close();
  }
}

async function appendLine(path: string, line: string): Promise<void> {
  const handle = await open(path, FLAGS, 0o600);
  try {
    await handle.write(`${line}\n`);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
