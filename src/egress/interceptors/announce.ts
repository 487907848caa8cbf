import type { Exchange } from "../exchange/exchange.ts";
import { redactHeaders, redactUrl } from "../exchange/redact.ts";
import type { Judge, JudgedRequest } from "../judge.ts";
import type { Runtime } from "../runtime.ts";

/** Tells of a request whose decision is made; nothing when nobody listens. */
export function announce({ report }: Pick<Runtime, "report">, judge: Judge | undefined, exchange: Exchange): void {
  const { target, decision, generation } = exchange;
  if (judge?.wantsRequests !== true || target === undefined || decision === undefined) return;
  const { egress } = generation;
  const { method, url } = requestOf(exchange);
  report.decision({
    type: "egress.decision",
    phase: "request",
    actor: { kind: "sandbox", user_id: egress.name },
    outcome: decision.verdict === "deny" ? "deny" : "permit",
    sandbox: egress.name,
    sandbox_uuid: egress.uuid,
    request_id: exchange.id,
    labels: egress.labels,
    decision: decision.verdict,
    protocol: "http",
    method,
    url,
    host: target.host.text,
    port: target.port,
    rule: decision.rule,
    reason: decision.reason,
    policy: decision.policy,
    ...(exchange.recognition === undefined ? {} : { provider: exchange.recognition.provider }),
    ...(exchange.carried?.request_body === undefined ? {} : { request_body: exchange.carried.request_body }),
  });
}

/** The head of a request as others may see it. */
export function requestOf(exchange: Exchange): JudgedRequest {
  const { target, generation, connection } = exchange;
  const { egress } = generation;
  const host = target?.host.text ?? connection.expected.text;
  const port = target?.port ?? connection.destination.port;
  const authority = port === (connection.scheme === "https" ? 443 : 80) ? host : `${host}:${port}`;
  return {
    id: exchange.id,
    sandbox: egress.name,
    sandboxUuid: egress.uuid,
    labels: egress.labels,
    method: exchange.method.slice(0, 32),
    url: redactUrl(`${connection.scheme}://${authority}${target === undefined ? "" : `${target.path}${target.query}`}`),
    host,
    port,
    headers: redactHeaders(exchange.headers),
    provider: exchange.recognition?.provider,
  };
}
