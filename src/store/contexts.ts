import { hash } from "node:crypto";
import { integerOf, type Sql } from "./sql.ts";

/** What a call goes on from, of one sandbox and one provider. */
export type Continued = {
  readonly sandbox: string;
  readonly provider: string;
  readonly previousResponseId?: string | undefined;
  readonly conversationId?: string | undefined;
};

export type ContextLimits = {
  /** contexts of one state directory; those that were longest not used are forgotten first */
  readonly count: number;
  /** ms after its last use at which a context is forgotten */
  readonly keepMs: number;
};

const DAY_MS = 24 * 3_600_000;
const LIMITS: ContextLimits = { count: 20_000, keepMs: 90 * DAY_MS };

/** a use is written down when the last one is so long ago: reading a context is no write, mostly */
const USE_MS = DAY_MS;

/** writes of one process between two looks at the limits */
const PRUNE_EVERY = 100;

/**
 * How many tokens the contexts hold that providers keep: a call that goes on from an answer says only its id, and is billed for all that
 * stands before it. All processes of a state directory know them, and after a restart too. Kept for each sandbox by itself, so that none
 * makes another's calls dear by an id; ids come from outside, so that a digest of them is kept. A call that goes on from a context that is
 * not known, or no longer, is reserved by its own bytes, and settled by what it used.
 */
export class ContextTable {
  readonly #sql: Sql;
  readonly #limits: ContextLimits;
  #writes = 0;

  constructor(sql: Sql, limits: ContextLimits = LIMITS) {
    this.#sql = sql;
    this.#limits = limits;
  }

  /** Tokens before what the call sends; 0 when nothing is known of them. */
  before(call: Continued, nowMs: number): number {
    return Math.max(0, ...keysOf(call, call.previousResponseId).map((key) => this.#use(key, nowMs)));
  }

  /** A call ended: who goes on from its answer, or in its conversation, goes on from so many tokens. */
  after(call: Continued, responseId: string | null, tokens: number, nowMs: number): void {
    const keys = keysOf(call, responseId ?? undefined);
    if (keys.length === 0) return;
    this.#sql.transaction(
      () => {
        for (const key of keys) {
          this.#sql.run(
            "INSERT INTO llm_contexts (key, tokens, used_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET tokens = excluded.tokens, used_at = excluded.used_at",
            key,
            tokens,
            nowMs,
          );
        }
        if (this.#writes % PRUNE_EVERY === 0) this.#prune(nowMs);
        this.#writes += 1;
      },
      { isDurable: false },
    );
  }

  #use(key: Uint8Array, nowMs: number): number {
    const row = this.#sql.get("SELECT tokens, used_at FROM llm_contexts WHERE key = ?", key);
    if (row === undefined) return 0;
    if (integerOf(row, "used_at") < nowMs - USE_MS) {
      this.#sql.transaction(() => this.#sql.run("UPDATE llm_contexts SET used_at = ? WHERE key = ?", nowMs, key), { isDurable: false });
    }
    return integerOf(row, "tokens");
  }

  #prune(nowMs: number): void {
    const { count, keepMs } = this.#limits;
    this.#sql.run("DELETE FROM llm_contexts WHERE used_at < ?", nowMs - keepMs);
    this.#sql.run("DELETE FROM llm_contexts WHERE key IN (SELECT key FROM llm_contexts ORDER BY used_at DESC LIMIT -1 OFFSET ?)", count);
  }
}

function keysOf({ sandbox, provider, conversationId }: Continued, responseId: string | undefined): readonly Uint8Array[] {
  const named = [responseId === undefined ? [] : [["r", responseId]], conversationId === undefined ? [] : [["c", conversationId]]].flat();
  return named.map((name) => hash("sha256", JSON.stringify([sandbox, provider, ...name]), "buffer"));
}
