import type { CallEnd, CallRequest } from "../../egress/gateway.ts";
import { FETCH_OPERATIONS } from "../../schema/operation.ts";
import type { Usage } from "../../schema/usage.ts";
import { amountOf, type BudgetUnit } from "../../usage/budget.ts";
import { estimateEnd, type Tokens, usageOfTokens } from "../../usage/call-estimate.ts";
import type { CostOfCall } from "../../usage/cost.ts";
import { decidePrice, type UnknownPrice } from "../../usage/unknown-price.ts";

/** A call that was let through, with what it was expected to use. */
export type AdmittedCall = {
  readonly call: CallRequest;
  readonly model: string | null;
  readonly expected: Tokens;
  /** what was reserved, one for each budget */
  readonly amounts: readonly bigint[];
};

export type Prices = {
  readonly costOf: CostOfCall;
  readonly dearestModel: (provider: CallRequest["recognition"]["provider"], at: number) => string | null;
};

/**
 * What an ended call counts, by unit: what the provider said, else an estimate, never nothing for a call that was served. `reserved`
 * is what it falls back to.
 */
export function usedBy(
  admitted: AdmittedCall,
  end: CallEnd,
  prices: Prices & { readonly unknownPrice: UnknownPrice; readonly at: number },
): (unit: BudgetUnit, reserved: bigint) => bigint {
  const wasSent = end.kind === "sent" && end.event.call_outcome !== "denied";
  const usage = wasSent ? usageAtEnd(admitted, end) : null;
  return (unit, reserved) => {
    switch (unit) {
      case "concurrent":
        return 0n;
      case "requests":
        return wasSent ? 1n : 0n;
      case "tokens":
        return usage === null ? 0n : BigInt(usage.total ?? (usage.input ?? 0) + (usage.output ?? 0));
      case "usd":
        return usage === null || !wasSent ? 0n : nanoOf(admitted, end, usage, prices, reserved);
      default:
        return unit satisfies never;
    }
  };
}

type SentEnd = Extract<CallEnd, { kind: "sent" }>;

/** Null: it used nothing. */
function usageAtEnd({ call, expected }: AdmittedCall, { event, response, answerBytes }: SentEnd): Usage | null {
  const { recognition } = call;
  const said = response?.usage ?? null;
  if (FETCH_OPERATIONS.has(recognition.operation)) {
    // what a batch or a response in the background used comes with the first fetch of it, and counts then
    const isNew = event.input_tokens !== null || event.output_tokens !== null || event.total_tokens !== null;
    return isNew ? said : null;
  }
  if (!recognition.billable) return null;
  if (said !== null && event.usage_source === "reported") return said;
  // a call that the client left before its answer began may be served all the same
  if (event.status === null || (event.call_outcome === "aborted" && answerBytes === 0)) return usageOfTokens(expected);
  if (event.status >= 400 && said === null) return null;
  const known = said === null ? null : { input: said.input, output: said.output };
  const estimated = usageOfTokens(estimateEnd(expected, known, answerBytes));
  return said === null ? estimated : { ...said, input: estimated.input, output: estimated.output, total: estimated.total };
}

function nanoOf(
  { call, model }: AdmittedCall,
  { event, response }: SentEnd,
  usage: Usage,
  prices: Prices & { readonly unknownPrice: UnknownPrice; readonly at: number },
  reserved: bigint,
): bigint {
  if (event.usage_source === "reported" && event.cost_usd !== null) return amountOf("usd", event.cost_usd);
  const { provider } = call.recognition;
  const serviceTier = response?.serviceTier ?? call.facts.serviceTier;
  const names = [event.response_model, model].filter((name) => name !== null);
  for (const name of names) {
    const nano = prices.costOf({ provider, model: name, usage, serviceTier, at: prices.at });
    if (nano !== null) return nano;
  }
  const price = decidePrice(prices.unknownPrice, { provider, model: names[0] ?? "unknown", usage, serviceTier, at: prices.at }, prices);
  // a call of known price may end as one of unknown price: then what was reserved for it is used
  return price.verdict === "allow" ? (price.nano ?? 0n) : reserved;
}
