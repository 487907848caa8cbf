import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AppError, errnoOf, isDiskFull, messageOf } from "../base/error.ts";
import { membersOf, parseJson } from "../base/parse-json.ts";
import { livenessOf, ownIdentity, type ProcessIdentity } from "../base/process-identity.ts";
import { isFullDatabase, isNoDatabase } from "./sqlite-error.ts";

/**
 * A lock that the kernel gives up when its holder dies, in whatever way: Node has no flock, but SQLite holds an fcntl lock on its
 * file for as long as an exclusive transaction is open. Beside it a file says who holds it, for people and for `serve --stop`.
 */
export class ProcessLock implements Disposable {
  readonly #database: DatabaseSync;
  readonly #file: string;

  private constructor(database: DatabaseSync, file: string) {
    this.#database = database;
    this.#file = file;
  }

  /** undefined when another process holds it. @throws AppError STATE_UNUSABLE, DISK_FULL */
  static take(file: string): ProcessLock | undefined {
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(file, { timeout: 0 });
      database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    } catch (error) {
      database?.close();
      if (/database is locked/.test(messageOf(error))) return undefined;
      throw cannotTake(file, error);
    }
    try {
      writeFileSync(`${file}.holder.new`, JSON.stringify(ownIdentity()), { mode: 0o600 });
      renameSync(`${file}.holder.new`, `${file}.holder`);
    } catch (error) {
      // a lock that nobody knows of would be held until this process ends
      database.close();
      throw cannotTake(file, error);
    }
    return new ProcessLock(database, file);
  }

  [Symbol.dispose](): void {
    rmSync(`${this.#file}.holder`, { force: true });
    this.#database.close();
  }
}

function cannotTake(file: string, cause: unknown): AppError {
  const isFull = isDiskFull(cause) || isFullDatabase(cause);
  const remedy = isNoDatabase(cause) ? `remove it, nothing is kept in it: rm ${file}` : `make ${dirname(file)} and what is in it writable`;
  return new AppError(isFull ? "DISK_FULL" : "STATE_UNUSABLE", `the lock ${file} cannot be taken: ${messageOf(cause)}`, {
    cause,
    hint: isFull ? "free space on its file system" : remedy,
  });
}

/** Who holds a lock; undefined when nobody alive does. @throws AppError STATE_UNUSABLE when it is held, and nothing says by whom */
export function lockHolder(file: string): ProcessIdentity | undefined {
  let text: string;
  try {
    text = readFileSync(`${file}.holder`, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const identity = identityFrom(text);
  if (identity !== undefined) return livenessOf(identity) === "dead" ? undefined : identity;
  // the note is for people; whether it is held the lock itself says
  using free = ProcessLock.take(file);
  if (free !== undefined) return undefined;
  throw new AppError("STATE_UNUSABLE", `${file} is held, and ${file}.holder does not say by which process`, {
    hint: `find it with: fuser -v ${file}`,
  });
}

function identityFrom(text: string): ProcessIdentity | undefined {
  const { pid, startTicks, bootId, pidNamespace } = membersOf(parseJson(text));
  if (typeof pid !== "number" || typeof startTicks !== "string" || typeof bootId !== "string" || typeof pidNamespace !== "string")
    return undefined;
  return { pid, startTicks, bootId, pidNamespace };
}
