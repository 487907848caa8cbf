import { messageOf } from "../../base/error.ts";
import type { Recognition, ResponseFacts } from "../../providers/types.ts";
import { requestFactsOf } from "../../providers/websocket/call-facts.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Runtime } from "../runtime.ts";
import { reportCall } from "./call-record.ts";

/**
 * A model call that the provider made by itself and an answer tells of: recorded as what was fetched, so that it counts once however often
 * it is told, and counted by the budgets, which nobody could ask beforehand. Never throws.
 * @param nth which one of the exchange
 */
export function countInnerCall(runtime: Runtime, exchange: Exchange, outer: Recognition, response: ResponseFacts, nth: number): void {
  const { gate, clock, log } = runtime;
  const { model: _model, streaming: _streaming, responseId: _id, ...rest } = outer;
  const recognition: Recognition = { ...rest, operation: "fetch_response" };
  const facts = requestFactsOf({ streaming: false });
  const { decision, status, generation, id } = exchange;
  try {
    const { name: sandbox, labels } = generation.egress;
    const admission = gate.isActive
      ? gate.admit({ id: `${id}.${nth}`, sandbox, labels, recognition, facts, bodyBytes: 0, kind: "used" })
      : undefined;
    const now = clock.monotonic();
    const part = { startedAt: now, firstByteAt: undefined, answerChunks: undefined, decision, status };
    const event = reportCall(runtime, exchange, recognition, facts, response, part);
    if (admission?.verdict === "allow") admission.settle({ kind: "sent", event, response, answerBytes: 0 });
  } catch (error) {
    log.error("a model call could not be recorded", { request_id: id, error: messageOf(error) });
  }
}
