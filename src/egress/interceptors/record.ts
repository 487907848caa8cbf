import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { redactUrl } from "../exchange/redact.ts";
import { refuse } from "../exchange/refusal.ts";
import type { Exchange, Interceptor } from "../exchange/exchange.ts";
import type { EgressReporter } from "../options.ts";
import type { Runtime } from "../runtime.ts";
import { reportCall } from "./call-record.ts";

type ExchangeRecord = Parameters<EgressReporter["exchange"]>[0];

/** Outermost: one event for every exchange, whatever happens inside, built from what the sandbox sent and never from real keys. */
export function recordInterceptor(runtime: Runtime): Interceptor {
  return (next) => async (exchange) => {
    exchange.connection.exchanges.add(exchange);
    exchange.heldCalls = [];
    try {
      await next(exchange);
    } catch (error) {
      exchange.end = "error";
      exchange.errorCode = "INTERNAL";
      runtime.log.error("an exchange failed", { request_id: exchange.id, error: messageOf(error) });
      const { expected, destination } = exchange.connection;
      const reason = "a fault in the gateway";
      refuse(exchange, { status: 500, error: "internal", host: expected.text, port: destination.port, rule: BUILT_IN_RULES.error, reason });
    }
    exchange.connection.exchanges.delete(exchange);
    exchange.holding.release();
    // a call that was refused before it reached the meter
    if (exchange.recognition !== undefined && !exchange.callReported && !exchange.isUpgrade) {
      reportCall(runtime, exchange, exchange.recognition, undefined, undefined);
    }
    const event = recordOf(exchange, runtime.clock.monotonic());
    runtime.metrics.exchange(event);
    if (exchange.sentAt !== undefined) runtime.metrics.overhead("request", (exchange.sentAt - exchange.startedAt) / 1000);
    runtime.report.exchange(event);
    const calls = exchange.heldCalls ?? [];
    exchange.heldCalls = undefined;
    for (const call of calls) runtime.report.llm(call);
  };
}

function recordOf(exchange: Exchange, now: number): ExchangeRecord {
  const { connection, generation, decision, target } = exchange;
  const { egress } = generation;
  const denied = decision?.verdict !== "allow";
  const host = target?.host.text ?? connection.expected.text;
  const path = exchange.rawTarget.startsWith("/") ? exchange.rawTarget : `/${exchange.rawTarget}`;
  const port = connection.destination.port;
  const authority = port === (connection.scheme === "https" ? 443 : 80) ? host : `${host}:${port}`;
  const url = redactUrl(`${connection.scheme}://${authority}${target === undefined ? path : `${target.path}${target.query}`}`);
  return {
    type: "egress.exchange",
    actor: { kind: "sandbox", user_id: egress.name },
    outcome: denied ? "deny" : exchange.end === "complete" ? "permit" : "error",
    sandbox: egress.name,
    sandbox_uuid: egress.uuid,
    request_id: exchange.id,
    labels: egress.labels,
    method: exchange.method.slice(0, 32),
    url,
    host,
    port,
    status: exchange.status,
    decision: denied ? "deny" : "allow",
    ...(decision?.observed === true ? { observed: true } : {}),
    rule: decision?.rule ?? BUILT_IN_RULES.error,
    reason: decision?.reason ?? "the exchange ended before it was judged",
    policy: decision?.policy ?? egress.policy.ref,
    ...(exchange.address === undefined ? {} : { address: exchange.address }),
    ...(exchange.addressClass === undefined ? {} : { address_class: exchange.addressClass }),
    protocol: exchange.isUpgrade ? "websocket" : exchange.downstream.protocol,
    inspected: true,
    secret_injected: exchange.secretsInjected.length > 0,
    bytes_in: exchange.bytesIn,
    bytes_out: exchange.bytesOut,
    latency_ms: Math.round((now - exchange.startedAt) * 1000) / 1000,
    ...(denied || exchange.end === undefined ? {} : { end: exchange.end }),
    ...(exchange.errorCode === undefined ? {} : { error_code: exchange.errorCode }),
    ...(exchange.recognition === undefined ? {} : { provider: exchange.recognition.provider }),
    ...exchange.carried,
  };
}
