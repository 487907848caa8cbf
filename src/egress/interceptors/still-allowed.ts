import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { decide, type Generation } from "../accept/generation.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Runtime } from "../runtime.ts";

/**
 * What was judged under an older generation, judged again under the current one: a body may have taken long to come, as long as its
 * sender liked. False: it is denied now, and the exchange's decision says why.
 */
export function isStillAllowed(runtime: Runtime, exchange: Exchange): boolean {
  const { generation } = exchange.connection.attachment;
  const { target } = exchange;
  if (generation === exchange.generation || target === undefined) return true;
  const { host, port, scheme, path } = target;
  exchange.generation = generation;
  exchange.decision = decide(generation, { host, port, scheme, method: exchange.method, path });
  if (exchange.decision.verdict === "deny") return false;
  exchange.origin = runtime.origins.find(generation, host, port, scheme);
  if (exchange.injected.length > 0 && !exchange.origin.carriesKeys)
    return deny(exchange, BUILT_IN_RULES.protocol, "the upstream changed to one that may not carry keys");
  return keysHold(exchange, generation);
}

/** Whether every key in the request is still what it was: one that was taken away or changed meanwhile does not leave. */
export function keysHold(exchange: Exchange, { egress }: Generation): boolean {
  const now = [...egress.secrets, ...(egress.orgKeys ?? [])];
  const lost = exchange.injected.find(
    ({ name, placeholder, host, value }) =>
      !now.some(
        (one) =>
          one.name === name &&
          one.placeholder === placeholder &&
          one.host === host &&
          one.isRevoked !== true &&
          (one.value === value || one.value.reveal() === value.reveal()),
      ),
  );
  return lost === undefined || deny(exchange, "secret", `the secret ${lost.name} was taken away or changed before the request was sent`);
}

function deny(exchange: Exchange, rule: string, reason: string): false {
  if (exchange.decision !== undefined) exchange.decision = { ...exchange.decision, verdict: "deny", rule, reason };
  exchange.secretsInjected.length = 0;
  exchange.keySource = "none";
  return false;
}
