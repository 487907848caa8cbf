import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { AppError, errnoOf, messageOf } from "../base/error.ts";
import { livenessOf, ownIdentity, type ProcessIdentity } from "../base/process-identity.ts";

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

  /** undefined when another process holds it. @throws AppError STATE_UNUSABLE */
  static take(file: string): ProcessLock | undefined {
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(file, { timeout: 0 });
      database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    } catch (error) {
      database?.close();
      if (/database is locked/.test(messageOf(error))) return undefined;
      throw new AppError("STATE_UNUSABLE", `the lock ${file} cannot be taken: ${messageOf(error)}`, { cause: error });
    }
    try {
      writeFileSync(`${file}.holder.new`, JSON.stringify(ownIdentity()), { mode: 0o600 });
      renameSync(`${file}.holder.new`, `${file}.holder`);
    } catch (error) {
      // a lock that nobody knows of would be held until this process ends
      database.close();
      throw new AppError("STATE_UNUSABLE", `the lock ${file} cannot be taken: ${messageOf(error)}`, { cause: error });
    }
    return new ProcessLock(database, file);
  }

  [Symbol.dispose](): void {
    rmSync(`${this.#file}.holder`, { force: true });
    this.#database.close();
  }
}

/** Who holds a lock; undefined when nobody alive does. */
export function lockHolder(file: string): ProcessIdentity | undefined {
  try {
    const identity = JSON.parse(readFileSync(`${file}.holder`, "utf8")) as ProcessIdentity;
    return livenessOf(identity) === "dead" ? undefined : identity;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
