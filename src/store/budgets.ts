import { livenessOf, ownIdentity, type ProcessIdentity } from "../base/process-identity.ts";
import { integerOf, type Row, type Sql, textOf } from "./sql.ts";

/** What a call wants of one budget. Amounts are whole, `meter` names the sum they are added to. */
export type Claim = {
  readonly meter: string;
  /** bucket it is counted in, and the first one that counts */
  readonly bucket: number;
  readonly since: number;
  readonly amount: bigint;
  readonly limit: bigint;
  /** false: it is recorded that it did not fit, and it goes all the same */
  readonly isHard: boolean;
  /** false: nothing is left of it when the call has ended (calls under way) */
  readonly isLasting: boolean;
};

/** How much of a budget is taken. */
export type Taken = { readonly used: bigint; readonly reserved: bigint };

export type ClaimResult = Taken & { readonly fits: boolean };

/** What a call used of one budget in the end. `levelOf` gives the threshold that a sum reaches. */
export type Settlement = Pick<Claim, "meter" | "bucket" | "since"> & {
  readonly amount: bigint;
  readonly period: number;
  readonly levelOf: (used: bigint) => number;
};

/** A threshold that was crossed by this settlement, by whichever process came first. */
export type Settled = Taken & { readonly meter: string; readonly before: number; readonly level: number };

export type StoredBudget<B> = { readonly id: string; readonly budget: B };

/** ms after which a reservation of a process that we cannot look at is taken for lost */
const UNKNOWN_LOST_MS = 24 * 3_600_000;

const OWNER = "owner_pid, owner_start, owner_boot, owner_namespace";

/**
 * Budgets made over the API, and what is used and reserved of every budget: one row per bucket of time, one per call under way. All
 * processes of a state directory reserve here, each in one transaction that holds the write lock, so that calls side by side can
 * never take more than there is. A reservation belongs to its process; that of a dead one counts as used, since its call may have
 * been made. `B` is kept as it is.
 */
export class BudgetTable<B> {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  list(): readonly StoredBudget<B>[] {
    return this.#sql.all("SELECT id, budget FROM llm_budgets ORDER BY id").map((row) => ({
      id: textOf(row, "id"),
      budget: JSON.parse(textOf(row, "budget")) as B,
    }));
  }

  /** Whether it is new; on disk when it returns. */
  put(id: string, budget: B, nowMs: number): boolean {
    return this.#sql.transaction(
      () => {
        const isNew = this.#sql.get("SELECT 1 FROM llm_budgets WHERE id = ?", id) === undefined;
        this.#sql.run(
          "INSERT INTO llm_budgets (id, budget, updated_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET budget = excluded.budget, updated_at = excluded.updated_at",
          id,
          JSON.stringify(budget),
          nowMs,
        );
        return isNew;
      },
      { isDurable: true },
    );
  }

  /** Forgets it and its sums; false when there is none. */
  remove(id: string, meter: string): boolean {
    return this.#sql.transaction(
      () => {
        this.#sql.run("DELETE FROM llm_budget_used WHERE meter = ?", meter);
        this.#sql.run("DELETE FROM llm_budget_level WHERE meter = ?", meter);
        return this.#sql.run("DELETE FROM llm_budgets WHERE id = ?", id) > 0;
      },
      { isDurable: true },
    );
  }

  taken(meter: string, since: number): Taken {
    const used = this.#sql.get(
      "SELECT coalesce(sum(amount), 0) AS amount FROM llm_budget_used WHERE meter = ? AND bucket >= ?",
      meter,
      since,
    );
    const reserved = this.#sql.get("SELECT coalesce(sum(amount), 0) AS amount FROM llm_budget_reserved WHERE meter = ?", meter);
    return { used: amountIn(used), reserved: amountIn(reserved) };
  }

  /** All of the claims or none: reserved when every hard one fits. Gives how each stood before. */
  reserve(
    callId: string,
    claims: readonly Claim[],
    nowMs: number,
  ): { readonly isReserved: boolean; readonly results: readonly ClaimResult[] } {
    return this.#sql.transaction(
      () => {
        let results = claims.map((claim) => this.#weigh(claim));
        if (results.some(({ fits }) => !fits) && this.#reclaim(nowMs)) results = claims.map((claim) => this.#weigh(claim));
        const isReserved = claims.every(({ isHard }, at) => !isHard || results[at]?.fits === true);
        if (isReserved) for (const claim of claims) this.#insert(callId, claim, nowMs);
        return { isReserved, results };
      },
      { isDurable: false },
    );
  }

  /** Puts what was used in the place of what was reserved. A reservation that was settled before stays as it is. */
  settle(callId: string, settlements: readonly Settlement[]): readonly Settled[] {
    return this.#sql.transaction(
      () =>
        settlements.flatMap(({ meter, bucket, since, amount, period, levelOf }) => {
          const isOpen = this.#sql.run("DELETE FROM llm_budget_reserved WHERE meter = ? AND call_id = ?", meter, callId) > 0;
          if (!isOpen) return [];
          if (amount > 0n) this.#add(meter, bucket, amount);
          this.#sql.run("DELETE FROM llm_budget_used WHERE meter = ? AND bucket < ?", meter, since);
          const taken = this.taken(meter, since);
          return [{ meter, ...taken, ...this.#raise(meter, period, levelOf(taken.used)) }];
        }),
      { isDurable: false },
    );
  }

  #weigh(claim: Claim): ClaimResult {
    const taken = this.taken(claim.meter, claim.since);
    return { ...taken, fits: claim.amount === 0n || taken.used + taken.reserved + claim.amount <= claim.limit };
  }

  #insert(callId: string, { meter, bucket, amount, isLasting }: Claim, nowMs: number): void {
    const owner = ownIdentity();
    this.#sql.run(
      `INSERT INTO llm_budget_reserved (meter, call_id, bucket, amount, is_lasting, at, ${OWNER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      meter,
      callId,
      bucket,
      amount,
      Number(isLasting),
      nowMs,
      owner.pid,
      owner.startTicks,
      owner.bootId,
      owner.pidNamespace,
    );
  }

  #add(meter: string, bucket: number, amount: bigint): void {
    this.#sql.run(
      "INSERT INTO llm_budget_used (meter, bucket, amount) VALUES (?, ?, ?) ON CONFLICT (meter, bucket) DO UPDATE SET amount = amount + excluded.amount",
      meter,
      bucket,
      amount,
    );
  }

  /** Counts what dead processes had reserved as used. Whether there was any. */
  #reclaim(nowMs: number): boolean {
    let any = false;
    for (const row of this.#sql.all(`SELECT ${OWNER}, max(at) AS at FROM llm_budget_reserved GROUP BY ${OWNER}`)) {
      const owner = ownerIn(row);
      const liveness = livenessOf(owner);
      if (liveness === "alive" || (liveness === "unknown" && integerOf(row, "at") > nowMs - UNKNOWN_LOST_MS)) continue;
      const where = "owner_pid = ? AND owner_start = ? AND owner_boot = ? AND owner_namespace = ?";
      const values = [owner.pid, owner.startTicks, owner.bootId, owner.pidNamespace];
      for (const lost of this.#sql.all(
        `SELECT meter, bucket, sum(amount) AS amount FROM llm_budget_reserved WHERE is_lasting = 1 AND ${where} GROUP BY meter, bucket`,
        ...values,
      ))
        this.#add(textOf(lost, "meter"), integerOf(lost, "bucket"), amountIn(lost));
      any = this.#sql.run(`DELETE FROM llm_budget_reserved WHERE ${where}`, ...values) > 0 || any;
    }
    return any;
  }

  /** The threshold that a meter had reached in this period, and the one that it reaches now. */
  #raise(meter: string, period: number, level: number): { readonly before: number; readonly level: number } {
    const row = this.#sql.get("SELECT period, level FROM llm_budget_level WHERE meter = ?", meter);
    const before = row === undefined || integerOf(row, "period") !== period ? 0 : integerOf(row, "level");
    if (row === undefined || before !== level || integerOf(row, "period") !== period)
      this.#sql.run(
        "INSERT INTO llm_budget_level (meter, period, level) VALUES (?, ?, ?) ON CONFLICT (meter) DO UPDATE SET period = excluded.period, level = excluded.level",
        meter,
        period,
        level,
      );
    return { before, level };
  }
}

function amountIn(row: Row | undefined): bigint {
  const value = row?.["amount"];
  if (typeof value !== "bigint") throw new TypeError("column amount is not an integer");
  return value;
}

function ownerIn(row: Row): ProcessIdentity {
  return {
    pid: integerOf(row, "owner_pid"),
    startTicks: textOf(row, "owner_start"),
    bootId: textOf(row, "owner_boot"),
    pidNamespace: textOf(row, "owner_namespace"),
  };
}
