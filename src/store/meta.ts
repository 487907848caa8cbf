import { type Sql, textOf } from "./sql.ts";

/** Facts about the installation, by key. */
export class MetaTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  get(key: string): string | undefined {
    const row = this.#sql.get("SELECT value FROM meta WHERE key = ?", key);
    return row === undefined ? undefined : textOf(row, "value");
  }

  set(key: string, value: string): void {
    this.#sql.transaction(
      () => {
        this.#sql.run("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value);
      },
      { isDurable: true },
    );
  }

  /** The value of `key`; whoever comes first decides it for all processes. */
  ensure(key: string, make: () => string): string {
    const found = this.get(key);
    if (found !== undefined) return found;
    return this.#sql.transaction(
      () => {
        this.#sql.run("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", key, make());
        return this.get(key) ?? "";
      },
      { isDurable: true },
    );
  }

  remove(key: string): void {
    this.#sql.transaction(
      () => {
        this.#sql.run("DELETE FROM meta WHERE key = ?", key);
      },
      { isDurable: true },
    );
  }
}
