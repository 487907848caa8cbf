import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { formatAuthority, parseAuthority, type CanonicalHost } from "../../policy/host.ts";
import type { ProviderTable } from "../../providers/recognize.ts";
import type { Exchange, Interceptor, Target } from "../exchange/exchange.ts";
import { refuse } from "../exchange/refusal.ts";
import { parseTarget } from "../exchange/target.ts";

/** What is wrong with a request's names; 421 when they differ, 400 when one cannot be read, 405 for methods that are never served. */
export type IdentityFault = { readonly status: 400 | 405 | 421; readonly reason: string };

export type Claims = {
  readonly scheme: "http" | "https";
  /** name behind the address that was connected to, or that address */
  readonly expected: CanonicalHost;
  readonly serverName: { readonly text: string } | null;
  readonly port: number;
  readonly method: string;
  readonly target: string;
  readonly hostHeader: string | undefined;
};

/**
 * Holds every name of a request against the others: address connected to, SNI, Host or `:authority`, absolute-form target. They must
 * be one and the same on every request, not only the first of a connection (domain fronting, coalescing, keep-alive games).
 */
export function identify(claims: Claims): Target | IdentityFault {
  const { scheme, expected, serverName, port } = claims;
  if (claims.method === "TRACE" || claims.method === "TRACK" || claims.method === "CONNECT") {
    return { status: 405, reason: `${claims.method} is not served` };
  }
  if (claims.hostHeader === undefined) return { status: 400, reason: "the request has no Host" };
  const defaultPort = scheme === "https" ? 443 : 80;
  // nearly every request names its host in the canonical spelling, which needs no second parsing
  const isPlain = claims.hostHeader === expected.text && expected.kind !== "ipv6";
  const named = isPlain
    ? { kind: "authority" as const, host: expected, port: defaultPort }
    : parseAuthority(claims.hostHeader, defaultPort);
  if (named.kind === "invalid") return { status: 400, reason: `the Host header ${named.reason}` };
  const { host } = named;
  const target = parseTarget(claims.target);
  if ("reason" in target) return { status: 400, reason: target.reason };
  if (target.authority !== undefined) {
    const absolute = parseAuthority(target.authority, target.scheme === "https" ? 443 : 80);
    if (absolute.kind === "invalid") return { status: 400, reason: `the host of the request target ${absolute.reason}` };
    if (absolute.host.text !== host.text || absolute.port !== named.port || target.scheme !== scheme) {
      return { status: 421, reason: "the request target and the Host header name different hosts" };
    }
  }
  if (serverName !== null && serverName.text !== host.text) {
    return { status: 421, reason: `the request is for ${host.text}, but its TLS connection was made for ${serverName.text}` };
  }
  if (expected.text !== host.text) {
    return {
      status: 421,
      reason: `the request is for ${host.text}, but its connection went to ${expected.text}; names must be resolved inside the sandbox`,
    };
  }
  if (named.port !== port) return { status: 421, reason: `the request is for port ${named.port}, but its connection went to port ${port}` };
  return { scheme, host, port, path: target.path, query: target.query };
}

/** Settles where an exchange goes, or answers 421. */
export function identityInterceptor(providers: ProviderTable): Interceptor {
  return (next) => (exchange) => {
    const { connection, request } = exchange;
    const found = identify({
      scheme: connection.scheme,
      expected: connection.expected,
      serverName: connection.serverName,
      port: connection.destination.port,
      method: exchange.method,
      target: exchange.rawTarget,
      hostHeader: request.host,
    });
    if ("reason" in found) {
      deny(exchange, found);
      return Promise.resolve();
    }
    exchange.target = found;
    exchange.headers = ["host", formatAuthority(found.host, found.port, found.scheme === "https" ? 443 : 80), ...request.headers];
    exchange.recognition = providers.recognize({
      host: found.host.text,
      method: exchange.method,
      path: found.path,
      query: found.query,
      upgrade: exchange.isUpgrade,
    });
    return next(exchange);
  };
}

function deny(exchange: Exchange, fault: IdentityFault): void {
  const { connection, generation } = exchange;
  const rule = fault.status === 421 ? BUILT_IN_RULES.identity : BUILT_IN_RULES.protocol;
  exchange.decision = { verdict: "deny", rule, reason: fault.reason, policy: generation.egress.policy.ref };
  refuse(exchange, {
    status: fault.status,
    error: fault.status === 421 ? "identity_mismatch" : "bad_request",
    host: connection.expected.text,
    port: connection.destination.port,
    rule,
    reason: fault.reason,
  });
}
