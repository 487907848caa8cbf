import { newId } from "../../base/id.ts";
import type { Exchange } from "./exchange.ts";

export type NewExchange = Pick<Exchange, "connection" | "downstream" | "method" | "rawTarget" | "request" | "isUpgrade" | "startedAt">;

/** An exchange at its beginning: nothing known but what the sandbox sent. */
export function newExchange(start: NewExchange): Exchange {
  return {
    id: newId("req"),
    connection: start.connection,
    generation: start.connection.attachment.generation,
    downstream: start.downstream,
    method: start.method,
    rawTarget: start.rawTarget,
    request: start.request,
    isUpgrade: start.isUpgrade,
    startedAt: start.startedAt,
    holding: start.connection.attachment.holdings.open(),
    target: undefined,
    recognition: undefined,
    decision: undefined,
    headers: [],
    body: undefined,
    origin: undefined,
    secretsInjected: [],
    injected: [],
    sentQuery: undefined,
    keySource: "none",
    callReported: false,
    filters: [],
    socketFilters: [],
    status: null,
    address: undefined,
    addressClass: undefined,
    bytesOut: 0,
    bytesIn: 0,
    sentAt: undefined,
    headAt: undefined,
    firstByteAt: undefined,
    end: undefined,
    errorCode: undefined,
    abort: undefined,
  };
}
