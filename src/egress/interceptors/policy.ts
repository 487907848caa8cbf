import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { decide } from "../accept/generation.ts";
import type { Exchange, Interceptor } from "../exchange/exchange.ts";
import { refuse } from "../exchange/refusal.ts";
import type { Judge } from "../judge.ts";
import type { Runtime } from "../runtime.ts";
import { announce } from "./announce.ts";
import { isIdentity } from "./secret-body.ts";

/** Lets through what the policy allows, while what happens can be recorded. */
export function policyInterceptor(runtime: Runtime, judge?: Judge): Interceptor {
  return (next) => (exchange) => {
    const { target, generation } = exchange;
    if (target === undefined) throw new Error("policy runs after identity");
    const { host, port, scheme } = target;
    const decision = decide(generation, { host, port, scheme, method: exchange.method, path: target.path });
    exchange.decision = decision;
    if (decision.verdict === "deny") {
      announce(runtime, judge, exchange);
      refusePolicy(exchange);
      return Promise.resolve();
    }
    const reason = tooMany(runtime, exchange);
    if (reason !== undefined) {
      exchange.decision = { ...decision, verdict: "deny", rule: BUILT_IN_RULES.protocol, reason };
      refuse(exchange, { status: 429, error: "too_many_requests", host: host.text, port, rule: BUILT_IN_RULES.protocol, reason });
      return Promise.resolve();
    }
    const blocked = runtime.report.blocked();
    if (blocked !== null) {
      exchange.decision = { ...decision, verdict: "deny", rule: "audit", reason: blocked };
      exchange.errorCode = "AUDIT_UNAVAILABLE";
      const facts = { host: host.text, port, rule: "audit", reason: `nothing may leave while it cannot be recorded: ${blocked}` };
      refuse(exchange, { status: 503, error: "audit_unavailable", ...facts });
      return Promise.resolve();
    }
    exchange.origin = runtime.origins.find(generation, host, port, scheme);
    return next(exchange);
  };
}

/** Why the sandbox has too much under way for this exchange. */
function tooMany(runtime: Runtime, { connection, downstream, request, holding }: Exchange): string | undefined {
  const { exchangesPerSandbox, codedBodiesPerSandbox } = runtime.limits;
  if (connection.attachment.isFull) return `more than ${exchangesPerSandbox} requests of this sandbox at once`;
  const isCoded = downstream.source !== null && !isIdentity(request.contentEncoding);
  if (!isCoded || holding.takeDecoders()) return undefined;
  return `more than ${codedBodiesPerSandbox} requests of this sandbox with a compressed body at once`;
}

/** The 403 of an exchange whose decision is a deny. */
export function refusePolicy(exchange: Exchange): void {
  const { target, decision } = exchange;
  if (target === undefined || decision === undefined) return;
  const { rule, reason, hint } = decision;
  refuse(exchange, { status: 403, error: "policy_denied", host: target.host.text, port: target.port, rule, reason, hint });
}
