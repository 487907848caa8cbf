import { AppError } from "../base/error.ts";
import { integerOf, type Row, type Sql, textOf } from "./sql.ts";

/** An encrypted value; whoever stores it has the key. */
export type StoredSecret = SecretMeta & { readonly ciphertext: Uint8Array };
/** Times in ms since 1970. */
export type SecretMeta = { readonly name: string; readonly createdAt: number; readonly updatedAt: number };

export class SecretTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  list(): readonly SecretMeta[] {
    return this.#sql.all("SELECT name, created_at, updated_at FROM secrets ORDER BY name").map(metaOf);
  }

  get(name: string): StoredSecret | undefined {
    const row = this.#sql.get("SELECT name, ciphertext, created_at, updated_at FROM secrets WHERE name = ?", name);
    if (row === undefined) return undefined;
    const { ciphertext } = row;
    if (!(ciphertext instanceof Uint8Array)) throw new AppError("STATE_UNUSABLE", `the secret ${name} is not stored as bytes`);
    return { ...metaOf(row), ciphertext };
  }

  /** On disk when it returns. */
  set(name: string, ciphertext: Uint8Array, nowMs: number): void {
    this.#sql.transaction(
      () => {
        this.#sql.run(
          `INSERT INTO secrets (name, ciphertext, created_at, updated_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET ciphertext = excluded.ciphertext, updated_at = max(excluded.updated_at, updated_at + 1)`,
          name,
          ciphertext,
          nowMs,
          nowMs,
        );
      },
      { isDurable: true },
    );
  }

  /** Differs after every change, by whichever process, also after the clock was set back: each change of a row moves its time on. */
  get revision(): string {
    const row = this.#sql.get("SELECT count(*) AS entries, coalesce(sum(updated_at), 0) AS times FROM secrets");
    return row === undefined ? "" : `${integerOf(row, "entries")} ${integerOf(row, "times")}`;
  }

  /** Whether there was one. Its bytes are overwritten (PRAGMA secure_delete). */
  remove(name: string): boolean {
    return this.#sql.transaction(() => this.#sql.run("DELETE FROM secrets WHERE name = ?", name) > 0, { isDurable: true });
  }
}

function metaOf(row: Row): SecretMeta {
  return { name: textOf(row, "name"), createdAt: integerOf(row, "created_at"), updatedAt: integerOf(row, "updated_at") };
}
