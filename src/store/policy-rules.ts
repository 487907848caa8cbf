import { AppError } from "../base/error.ts";
import { integerOf, type Sql, textOf } from "./sql.ts";

/** A rule made while running; `sandboxUuid` null: for every sandbox. `R` is kept as it is. */
export type StoredPolicyRule<R> = { readonly id: number; readonly sandboxUuid: string | null; readonly rule: R };

const REVISION = "policy_revision";
const GENERATION = "policy_generation";

/** Rules that are not in a file, and the number that every policy generation of this installation gets. */
export class PolicyRuleTable<R> {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** In the order they were made. */
  list(): readonly StoredPolicyRule<R>[] {
    return this.#sql.all("SELECT id, sandbox_uuid, rule FROM policy_rules ORDER BY id").map((row) => ({
      id: integerOf(row, "id"),
      sandboxUuid: row["sandbox_uuid"] === null ? null : textOf(row, "sandbox_uuid"),
      rule: JSON.parse(textOf(row, "rule")) as R,
    }));
  }

  /** Grows with every change, by whichever process. */
  get revision(): number {
    return Number(this.#meta(REVISION) ?? 0);
  }

  /**
   * Keeps the rules with these ids and adds new ones; on disk when it returns.
   * @throws CONFLICT when somebody else changed them since `revision` was read
   */
  replace(
    revision: number,
    next: { readonly keep: readonly number[]; readonly add: readonly Omit<StoredPolicyRule<R>, "id">[] },
    nowMs: number,
  ): void {
    this.#sql.transaction(
      () => {
        if (this.revision !== revision)
          throw new AppError("CONFLICT", "somebody else changed the policy meanwhile", { hint: "read it again, and then change it" });
        for (const { id } of this.list()) if (!next.keep.includes(id)) this.#sql.run("DELETE FROM policy_rules WHERE id = ?", id);
        for (const { sandboxUuid, rule } of next.add) {
          this.#sql.run(
            "INSERT INTO policy_rules (sandbox_uuid, rule, created_at) VALUES (?, ?, ?)",
            sandboxUuid,
            JSON.stringify(rule),
            nowMs,
          );
        }
        this.#set(REVISION, String(revision + 1));
      },
      { isDurable: true },
    );
  }

  /** Forgets what was for one sandbox alone. Its policy is gone with it, so no other process has to hear of this. */
  removeOf(sandboxUuid: string): void {
    this.#sql.transaction(() => this.#sql.run("DELETE FROM policy_rules WHERE sandbox_uuid = ?", sandboxUuid), { isDurable: false });
  }

  /** Number of the generation with this content: the present one when nothing differs from it, else the next. */
  generationOf(fingerprint: string): number {
    return this.#sql.transaction(
      () => {
        const [number, known] = (this.#meta(GENERATION) ?? "0 ").split(" ");
        if (known === fingerprint) return Number(number);
        this.#set(GENERATION, `${Number(number) + 1} ${fingerprint}`);
        return Number(number) + 1;
      },
      { isDurable: false },
    );
  }

  #meta(key: string): string | undefined {
    const row = this.#sql.get("SELECT value FROM meta WHERE key = ?", key);
    return row === undefined ? undefined : textOf(row, "value");
  }

  #set(key: string, value: string): void {
    this.#sql.run("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value);
  }
}
