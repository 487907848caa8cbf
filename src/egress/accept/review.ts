import { messageOf } from "../../base/error.ts";
import type { CanonicalHost } from "../../policy/host.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Runtime } from "../runtime.ts";
import type { Connection, Route } from "./connection.ts";
import { decide, type Generation } from "./generation.ts";

export type Wanted = { readonly host: CanonicalHost; readonly port: number; readonly scheme: "http" | "https" };

/**
 * May what goes there under an older generation go on under this one? Not when the operator sends the host elsewhere by now, nor when
 * the address is one that would not be dialled any more. Never throws.
 */
export function isStillOpen(runtime: Runtime, generation: Generation, { host, port, scheme }: Wanted, route: Route): boolean {
  const { origin, address } = route;
  try {
    if (runtime.origins.find(generation, host, port, scheme).key !== origin.key) return false;
    const { policy } = generation.egress;
    return policy.decideAddress(origin.host, address, { port: origin.port, trusted: origin.trusted }).verdict === "allow";
  } catch (error) {
    runtime.log.warn("a route could not be judged again, so what goes there ends", { host: host.text, error: messageOf(error) });
    return false;
  }
}

/** Ends what the current policy would not let begin, or would treat otherwise. */
export function review(runtime: Runtime, generation: Generation, connection: Connection): void {
  const { route, isTunnel, scheme, serverName, expected } = connection;
  const wanted = { host: serverName ?? expected, port: connection.destination.port, scheme };
  for (const exchange of connection.exchanges) {
    if (exchange.decision?.verdict === "allow" && !mayGoOn(runtime, generation, exchange)) exchange.abort?.("the policy changed");
  }
  const decision = decide(generation, wanted);
  const isTreatedAlike = scheme !== "https" || (decision.effect === "tunnel") === isTunnel;
  const isOpen = route === undefined || isStillOpen(runtime, generation, wanted, route);
  if (decision.verdict === "deny" || !isTreatedAlike || !isOpen) connection.destroy();
}

function mayGoOn(runtime: Runtime, generation: Generation, exchange: Exchange): boolean {
  const { target, origin, address, method } = exchange;
  if (target === undefined) return true;
  const { host, port, scheme, path } = target;
  if (decide(generation, { host, port, scheme, method, path }).verdict === "deny") return false;
  return origin === undefined || address === undefined || isStillOpen(runtime, generation, target, { origin, address });
}
