import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { decodeBody } from "../../providers/decode/body-decoder.ts";
import type { Recognition, RequestFacts, ResponseFacts } from "../../providers/types.ts";
import type { LlmEvent } from "../../schema/event.ts";
import type { CallEnd, CallGate, CallKind } from "../admission.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Runtime } from "../runtime.ts";
import { refusePolicy } from "./policy.ts";

/** What a model call was admitted under, from before it is dialled until it has ended. */
export class CallAdmission {
  readonly #runtime: Runtime;
  readonly #exchange: Exchange;
  #settle: ((end: CallEnd) => void) | undefined;

  constructor(runtime: Runtime, exchange: Exchange) {
    this.#runtime = runtime;
    this.#exchange = exchange;
  }

  /** False: the call was refused, and the client has its answer. */
  async admit(gate: CallGate, recognition: Recognition, facts: RequestFacts, kind: CallKind = "call"): Promise<boolean> {
    const exchange = this.#exchange;
    const { egress } = exchange.generation;
    try {
      const bodyBytes = await plainSize(exchange, this.#runtime.limits.inspectBytes);
      const admission = gate.admit({
        id: exchange.id,
        sandbox: egress.name,
        labels: egress.labels,
        recognition,
        facts,
        bodyBytes,
        kind,
      });
      if (admission.verdict === "allow") {
        this.#settle = admission.settle;
        return true;
      }
      const { rule, reason, hint } = admission;
      this.#deny(rule, reason, hint);
    } catch (error) {
      // what cannot be decided is denied
      this.#runtime.log.error("a model call could not be judged", { request_id: exchange.id, error: messageOf(error) });
      this.#deny(BUILT_IN_RULES.error, "the budgets and permitted models could not be read");
    }
    refusePolicy(exchange);
    return false;
  }

  #deny(rule: string, reason: string, hint?: string): void {
    const { decision, generation } = this.#exchange;
    const policy = decision?.policy ?? generation.egress.policy.ref;
    this.#exchange.decision = { verdict: "deny", rule, reason, policy, ...(hint === undefined ? {} : { hint }) };
  }

  /** Once, when the call has ended; `event` is absent when its record could not be made. */
  settle(event: Omit<LlmEvent, "id" | "schema_version" | "timestamp"> | undefined, response: ResponseFacts | undefined): void {
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle === undefined) return;
    const { sentAt, bytesIn, status } = this.#exchange;
    if (sentAt === undefined) {
      settle({ kind: "unsent" });
      return;
    }
    settle({ kind: "sent", event: event ?? { ...UNKNOWN_END, status }, response, answerBytes: bytesIn });
  }
}

/** A call of which no record could be made. */
export const UNKNOWN_END = {
  call_outcome: "aborted",
  usage_source: "none",
  cost_usd: null,
  response_model: null,
  input_tokens: null,
  output_tokens: null,
  total_tokens: null,
} as const;

/** Bytes of the whole body as its text; null when it is not held whole, or not readable. */
async function plainSize(exchange: Exchange, limit: number): Promise<number | null> {
  const { body, request } = exchange;
  if (body === undefined || body.kind === "none") return 0;
  if (body.kind === "stream") return null;
  const { contentEncoding } = request;
  // a body that usage was asked for in is not compressed any more
  const isCoded = exchange.headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === "content-encoding");
  if (!isCoded || contentEncoding === undefined || contentEncoding.trim().toLowerCase() === "identity") return body.bytes.length;
  const plain = await decodeBody(body.bytes, contentEncoding, limit);
  return plain === null ? null : plain.length;
}
