import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { isConstraint, translateSqlite } from "./sqlite-error.ts";

export type Row = Readonly<Record<string, SQLOutputValue>>;

/** One connection with its prepared statements. Every error leaves as an `AppError`, but for a broken unique index, which the caller knows how to name. */
export class Sql implements Disposable {
  readonly file: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #isInTransaction = false;
  #isDurable: boolean | undefined;

  constructor(file: string, database: DatabaseSync) {
    this.file = file;
    this.#database = database;
  }

  exec(text: string): void {
    this.#translated(() => this.#database.exec(text));
  }

  /** Rows written. */
  run(text: string, ...values: readonly SQLInputValue[]): number {
    return this.#translated(() => Number(this.#prepare(text).run(...values).changes));
  }

  get(text: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return this.#translated(() => this.#prepare(text).get(...values));
  }

  all(text: string, ...values: readonly SQLInputValue[]): readonly Row[] {
    return this.#translated(() => this.#prepare(text).all(...values));
  }

  /**
   * All of `work` or nothing. It takes the write lock at once (BEGIN IMMEDIATE), since a lock that is taken late can fail without
   * waiting. `isDurable`: on disk when this returns (synchronous FULL); otherwise consistent after a power cut, but perhaps without it.
   */
  transaction<T>(work: () => T, options: { readonly isDurable: boolean }): T {
    if (this.#isInTransaction) return work();
    if (this.#isDurable !== options.isDurable) this.exec(`PRAGMA synchronous = ${options.isDurable ? "FULL" : "NORMAL"}`);
    this.#isDurable = options.isDurable;
    this.exec("BEGIN IMMEDIATE");
    this.#isInTransaction = true;
    try {
      const result = work();
      this.exec("COMMIT");
      return result;
    } catch (error) {
      // SQLite may have rolled back by itself, as it does when the disk is full
      if (this.#database.isTransaction) this.exec("ROLLBACK");
      throw error;
    } finally {
      this.#isInTransaction = false;
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      // sums of nano-dollars leave the range of exact doubles
      statement.setReadBigInts(true);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  #translated<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw isConstraint(error) ? error : translateSqlite(error, this.file);
    }
  }
}

export function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} is not text`);
  return value;
}

export function integerOf(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "bigint") throw new TypeError(`column ${column} is not an integer`);
  return Number(value);
}

export function optionalIntegerOf(row: Row, column: string): number | undefined {
  return row[column] === null ? undefined : integerOf(row, column);
}
