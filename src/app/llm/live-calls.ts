import type { LiveCall } from "../../egress/gateway.ts";
import { type Budget, countsCall } from "../../usage/budget.ts";

/** A budget that lets nothing pass: it was closed by somebody, and what it counts is cut. */
export function isClosed({ limit, onExceed }: Budget): boolean {
  return onExceed === "deny" && limit === 0n;
}

/** Model calls under way, by their exchange. */
export class LiveCalls {
  readonly #calls = new Map<string, { readonly call: LiveCall; model: string | null }>();

  get size(): number {
    return this.#calls.size;
  }

  begin(call: LiveCall): () => void {
    this.#calls.set(call.id, { call, model: call.model });
    return () => this.#calls.delete(call.id);
  }

  /** The request was read: its model is known from now on. */
  name(id: string, model: string | null): void {
    const live = this.#calls.get(id);
    if (live !== undefined) live.model = model;
  }

  /** Cuts every call that a closed budget counts; `told` hears of each. */
  cut(budgets: readonly Budget[], told: (call: LiveCall, budget: Budget) => void): void {
    const closed = budgets.filter(isClosed);
    if (closed.length === 0) return;
    for (const { call, model } of [...this.#calls.values()]) {
      const budget = closed.find((one) => countsCall(one, { ...call, model }));
      // one that has not begun to leave is looked at again
      if (budget === undefined || !call.cut(`the budget ${budget.id} was closed`)) continue;
      this.#calls.delete(call.id);
      told(call, budget);
    }
  }
}
