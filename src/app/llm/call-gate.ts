import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { messageOf } from "../../base/error.ts";
import type { Admission, CallEnd, CallGate, CallRequest, EgressReporter, LiveCall } from "../../egress/gateway.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { BudgetRequest } from "../../schema/budget.ts";
import type { BudgetLevel } from "../../schema/event.ts";
import { UNRECOGNISED } from "../../providers/unknown-paths.ts";
import { CONTEXT_IN_PATH, keepsContext } from "../../providers/shapes/registry.ts";
import { contextAfter } from "../../providers/websocket/call-facts.ts";
import { FETCH_OPERATIONS, FREE_OPERATIONS } from "../../schema/operation.ts";
import type { BudgetTable, Claim, Settlement } from "../../store/budgets.ts";
import type { Continued, ContextTable } from "../../store/contexts.ts";
import { type Budget, countsCall, figureOf, levelOf, meterKey, showAmount, THRESHOLDS } from "../../usage/budget.ts";
import { windowAt } from "../../usage/budget-window.ts";
import { estimateCall, usageOfTokens } from "../../usage/call-estimate.ts";
import type { CostOfCall } from "../../usage/cost.ts";
import { decideModel, type ModelRules } from "../../usage/model-glob.ts";
import { decidePrice, type PriceDecision, type UnknownPrice } from "../../usage/unknown-price.ts";
import { LiveCalls } from "./live-calls.ts";
import { type AdmittedCall, type Prices, usedBy } from "./call-usage.ts";

export type CallGateOptions = {
  readonly table: BudgetTable<BudgetRequest>;
  /** what calls went on from, and how long it is */
  readonly contexts: ContextTable;
  /** of the file and of the API, as they are now */
  readonly budgets: () => readonly Budget[];
  readonly models: () => ModelRules;
  readonly unknownPrice: () => UnknownPrice;
  readonly costOf: CostOfCall;
  readonly dearestModel: Prices["dearestModel"];
  readonly finding: EgressReporter["finding"];
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
};

/** Asynchronous operations: what they use is not in their answer, and their models may not be in their request. */
const LATE_OPERATIONS: ReadonlySet<string> = new Set([
  "create_batch",
  "async_invoke",
  "realtime_session",
  "realtime_call",
  "live_session",
  "thread_run",
  "agent_run",
]);

const MODELS_RULE = "llm.models";

/** Holds model calls against the permitted models, and reserves what they may use of every budget that counts them. */
export class BudgetGate implements CallGate {
  readonly #options: CallGateOptions;
  readonly #live = new LiveCalls();

  constructor(options: CallGateOptions) {
    this.#options = options;
  }

  get isActive(): boolean {
    const { allow, deny } = this.#options.models();
    return allow.length > 0 || deny.length > 0 || this.#options.budgets().length > 0;
  }

  begin(call: LiveCall): () => void {
    return this.#live.begin(call);
  }

  /** Cuts the calls under way that a closed budget counts: a limit of 0 is the switch that stops them. Never throws. */
  cutClosed(): void {
    if (this.#live.size === 0) return;
    const { budgets, table, metrics, clock, log } = this.#options;
    try {
      this.#live.cut(budgets(), (call, budget) => {
        metrics.budgetDenied(budget.scope, "closed");
        const { used, reserved } = table.taken(meterKey(budget), windowAt(budget.window, clock.now()).since);
        this.#warn(call, budget, `the budget ${budget.id} (${budget.scope}) was closed, and this call was cut`, used + reserved);
      });
    } catch (error) {
      log.error("budgets could not be looked at; calls under way go on until they can be", { error: messageOf(error) });
    }
  }

  admit(call: CallRequest): Admission {
    const { recognition, facts, kind } = call;
    const model = recognition.model ?? facts.model;
    this.#live.name(call.id, facts.ambiguous ? null : model);
    const refused = kind === "used" ? undefined : this.#judgeModel(call, model);
    if (refused !== undefined) {
      this.#options.metrics.budgetDenied("models", "model");
      return { verdict: "deny", rule: MODELS_RULE, reason: refused };
    }
    const scoped = { sandbox: call.sandbox, labels: call.labels, provider: recognition.provider, model: facts.ambiguous ? null : model };
    const budgets = this.#options.budgets().filter((budget) => countsCall(budget, scoped));
    return budgets.length === 0 || kind === "name" ? { verdict: "allow", settle: () => undefined } : this.#reserve(call, model, budgets);
  }

  /** Why the call's model is not permitted; undefined when it is. */
  #judgeModel({ recognition, facts, kind, bodyBytes }: CallRequest, model: string | null): string | undefined {
    const rules = this.#options.models();
    if (rules.allow.length === 0 && rules.deny.length === 0) return undefined;
    const { operation, billable } = recognition;
    if (FETCH_OPERATIONS.has(operation)) return undefined;
    if (kind === "session") return "models are limited, and the model of a WebSocket's calls is not known before they are made";
    if (operation === "create_batch") return "models are limited, and those of a batch are not known before it runs";
    if (bodyBytes === null) return "models are limited, and the request is too large or coded in a way that hides its model";
    if (facts.ambiguous) return "models are limited, and the request names two different ones";
    if (model === null && !billable) return undefined;
    const { verdict, pattern } = decideModel(model, rules);
    if (verdict === "allow") return undefined;
    if (model === null) return "models are limited, and the request names none that could be read";
    const shown = JSON.stringify(model.slice(0, 128));
    return pattern === null
      ? `the model ${shown} is not among those that [llm].models allows`
      : `the model ${shown} is denied by [llm].models (${pattern})`;
  }

  #reserve(call: CallRequest, model: string | null, budgets: readonly Budget[]): Admission {
    const { recognition, facts, bodyBytes } = call;
    const now = this.#options.clock.now();
    const isPast = call.kind === "used";
    const isDenying = (onExceed: Budget["onExceed"]): boolean => onExceed === "deny" && !isPast;
    const hard = budgets.find(({ unit, onExceed }) => isDenying(onExceed) && (unit === "usd" || unit === "tokens"));
    if (hard !== undefined) {
      const unknowable = this.#unknowable(call);
      if (unknowable !== undefined) return this.#deny(hard, "unknown_amount", unknowable);
    }
    const isFree = !recognition.billable || FREE_OPERATIONS.has(recognition.operation);
    const expected = isFree
      ? { input: 0, output: 0 }
      : estimateCall({
          operation: recognition.operation,
          model,
          bodyBytes: bodyBytes ?? 0,
          contextTokens: facts.contextTokens ?? this.#options.contexts.before(continued(call), now),
          maxOutputTokens: facts.maxOutputTokens,
          choices: facts.choices,
        });
    const price = isFree ? FREE : this.#price({ model, provider: recognition.provider, expected, tier: facts.serviceTier, at: now });
    const amountIn = ({ unit }: Budget): bigint => {
      if (unit === "usd") return price.verdict === "allow" ? (price.nano ?? 0n) : 0n;
      return unit === "tokens" ? BigInt(expected.input + expected.output) : 1n;
    };
    const priced = budgets.find(({ unit, onExceed }) => unit === "usd" && isDenying(onExceed));
    if (priced !== undefined && price.verdict === "deny") return this.#deny(priced, "unknown_price", price.reason);
    const claims = budgets.map((budget): Claim => {
      const { bucket, since } = windowAt(budget.window, now);
      const { limit, onExceed, unit } = budget;
      return {
        meter: meterKey(budget),
        bucket,
        since,
        amount: amountIn(budget),
        limit,
        isHard: isDenying(onExceed),
        isLasting: unit !== "concurrent",
      };
    });
    const { isReserved, results } = this.#options.table.reserve(call.id, claims, now);
    const exceeded = budgets.flatMap((budget, at) => {
      const [claim, result] = [claims[at], results[at]];
      if (claim === undefined || result === undefined || result.fits) return [];
      const taken = result.used + result.reserved;
      return [{ budget, said: sentenceOf(budget, claim.amount, taken), taken }];
    });
    const refusal = exceeded.find(({ budget }) => isDenying(budget.onExceed));
    if (refusal !== undefined) return this.#deny(refusal.budget, "exceeded", refusal.said);
    if (!isReserved) throw new Error("a reservation was refused without a budget that refused it");
    for (const { budget, said, taken } of exceeded) this.#warn(call, budget, said, taken);
    return { verdict: "allow", settle: this.#settler({ call, model, expected, amounts: claims.map(({ amount }) => amount) }, budgets) };
  }

  /** Why nobody can say beforehand, or from the answer, what a call uses. */
  #unknowable({ recognition, kind, bodyBytes }: CallRequest): string | undefined {
    if (kind === "session") return "a budget limits this call, and what is used over a WebSocket is not known before it is used";
    if (LATE_OPERATIONS.has(recognition.operation)) return "a budget limits this call, and what it uses is not known before it was used";
    if (recognition.operation === UNRECOGNISED)
      return "a budget limits this call, and what is used at this path of a model provider is not known";
    if (bodyBytes === null) return "a budget limits this call, and its request is too large, or coded in a way that hides its size";
    return undefined;
  }

  #price(call: {
    model: string | null;
    provider: CallRequest["recognition"]["provider"];
    expected: { input: number; output: number };
    tier: string | null;
    at: number;
  }): PriceDecision {
    const { model, provider, expected, tier, at } = call;
    const usage = usageOfTokens(expected);
    return decidePrice(this.#options.unknownPrice(), { provider, model: model ?? "unknown", usage, serviceTier: tier, at }, this.#options);
  }

  #deny({ id, scope }: Budget, why: string, reason: string): Admission {
    this.#options.metrics.budgetDenied(scope, why);
    return { verdict: "deny", rule: `budget:${id}`, reason, hint: "agentkernel llm budget ls shows what is left" };
  }

  #warn({ sandbox, labels, id }: Pick<LiveCall, "sandbox" | "labels" | "id">, budget: Budget, reason: string, taken: bigint): void {
    this.#options.finding({
      type: "security.finding",
      outcome: "info",
      actor: { kind: "sandbox", user_id: sandbox },
      sandbox,
      labels,
      request_id: id,
      finding: "budget_exceeded",
      severity: "medium",
      rule: `budget:${budget.id}`,
      reason,
      budget: levelAt(budget, taken),
    });
  }

  #settler(call: AdmittedCall, budgets: readonly Budget[]): (end: Parameters<typeof usedBy>[1]) => void {
    return (end) => {
      const { table, clock, log } = this.#options;
      this.#remember(call, end);
      try {
        const now = clock.now();
        const used = usedBy(call, end, { ...this.#options, unknownPrice: this.#options.unknownPrice(), at: now });
        const settlements = budgets.map((budget, at): Settlement => {
          const { bucket, since, period } = windowAt(budget.window, now);
          const amount = used(budget.unit, call.amounts[at] ?? 0n);
          const level = (sum: bigint): number => (budget.unit === "concurrent" ? 0 : levelOf(sum, budget.limit));
          return { meter: meterKey(budget), bucket, since, amount, period, levelOf: level };
        });
        for (const settled of table.settle(call.call.id, settlements)) {
          const budget = budgets.find((one) => meterKey(one) === settled.meter);
          if (budget !== undefined) this.#settled(budget, settled);
        }
      } catch (error) {
        // the reservation stays, and counts: too much rather than too little
        log.error("a model call could not be settled", { request_id: call.call.id, error: messageOf(error) });
      }
    };
  }

  #remember({ call }: AdmittedCall, end: CallEnd): void {
    const { recognition } = call;
    if (end.kind !== "sent" || !recognition.billable || !keepsContext(recognition.shape)) return;
    const tokens = contextAfter(end.response?.usage ?? null);
    if (tokens === null) return;
    const { contexts, clock, log } = this.#options;
    try {
      contexts.after(continued(call), end.response?.responseId ?? null, tokens, clock.now());
    } catch (error) {
      // whoever goes on from it is reserved by its own bytes, and settled by what it used
      log.warn("the context of a model call could not be kept", { request_id: call.id, error: messageOf(error) });
    }
  }

  #settled(budget: Budget, { used, reserved, before, level }: ReturnType<BudgetTable<BudgetRequest>["settle"]>[number]): void {
    const { id, scope, unit, limit, window } = budget;
    const figure = (amount: bigint): number => figureOf(unit, amount);
    this.#options.metrics.budget({ id, scope, unit, limit: figure(limit), used: figure(used), reserved: figure(reserved) });
    for (const percent of THRESHOLDS.filter((threshold) => threshold > before && threshold <= level)) {
      this.#options.finding({
        type: "security.finding",
        outcome: "info",
        actor: { kind: "system", user_id: "agentkernel" },
        ...aboutOf(scope),
        finding: "budget_threshold",
        severity: percent >= 100 ? "medium" : "low",
        rule: `budget:${id}`,
        reason: `${percent} % of the budget ${id} is used: ${showAmount(unit, used)} of ${showAmount(unit, limit)}${inWindow(window)}`,
        budget: { ...levelAt(budget, used), percent },
      });
    }
  }
}

function continued({ sandbox, recognition, facts }: CallRequest): Continued {
  const { provider, shape, responseId } = recognition;
  const { previousResponseId = shape === CONTEXT_IN_PATH ? responseId : undefined, conversationId } = facts;
  return { sandbox, provider, previousResponseId, conversationId };
}

/** Whose budget it is, as filters of hooks read it. */
function aboutOf(scope: string): { readonly sandbox?: string; readonly labels?: Readonly<Record<string, string>> } {
  const [, kind, value = ""] = /^(sandbox|label):(.*)$/s.exec(scope) ?? [];
  if (kind === "sandbox") return { sandbox: value };
  const equals = value.indexOf("=");
  return kind === "label" ? { labels: { [value.slice(0, equals)]: value.slice(equals + 1) } } : {};
}

function levelAt({ id, scope, unit, window, limit }: Budget, used: bigint): BudgetLevel {
  return { id, scope, unit, window, limit: figureOf(unit, limit), used: figureOf(unit, used) };
}

const FREE: PriceDecision = { verdict: "allow", nano: 0n, assumed: null };

function sentenceOf({ id, unit, limit, window, scope }: Budget, amount: bigint, taken: bigint): string {
  const left = limit > taken ? limit - taken : 0n;
  return `the budget ${id} (${scope}) leaves ${showAmount(unit, left)} of ${showAmount(unit, limit)}${inWindow(window)}, and this call may need ${showAmount(unit, amount)}`;
}

function inWindow(window: string): string {
  return window === "total" ? "" : /^\d/.test(window) ? ` in ${window}` : ` this ${window}`;
}
