import { type Sql, textOf } from "./sql.ts";

/** Which secret is the organisation's key for a provider or host; never the value. */
export type LlmKeyRow = { readonly target: string; readonly vaultKeyName: string };

/** Organisation keys that were set while running. A change is a change of policy, which every process follows. */
export class LlmKeyTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  list(): readonly LlmKeyRow[] {
    return this.#sql
      .all("SELECT target, vault_key_name FROM llm_keys ORDER BY target")
      .map((row) => ({ target: textOf(row, "target"), vaultKeyName: textOf(row, "vault_key_name") }));
  }

  /** On disk when it returns. */
  put({ target, vaultKeyName }: LlmKeyRow): void {
    this.#change(() =>
      this.#sql.run(
        "INSERT INTO llm_keys (target, vault_key_name) VALUES (?, ?) ON CONFLICT (target) DO UPDATE SET vault_key_name = excluded.vault_key_name",
        target,
        vaultKeyName,
      ),
    );
  }

  remove(target: string): boolean {
    return this.#change(() => this.#sql.run("DELETE FROM llm_keys WHERE target = ?", target)) > 0;
  }

  #change(work: () => number): number {
    return this.#sql.transaction(
      () => {
        this.#sql.run(
          "INSERT INTO meta (key, value) VALUES ('policy_revision', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)",
        );
        return work();
      },
      { isDurable: true },
    );
  }
}
