import { matchesHost, parseHostPattern, type HostPattern } from "../../policy/host-pattern.ts";
import type { CanonicalHost } from "../../policy/host.ts";
import type { Exchange, Interceptor } from "../exchange/exchange.ts";
import { refusePolicy } from "./policy.ts";
import type { GatewaySecret } from "../options.ts";
import type { Runtime } from "../runtime.ts";

const RULE = "secret";

/**
 * Puts real values in the place of placeholders: in the bound header, for the bound host, over a connection that may carry keys. A
 * placeholder anywhere else in head or query ends the exchange with a finding; it is worth nothing, but somebody tried.
 */
export function secretsInterceptor(runtime: Runtime): Interceptor {
  const bindings = new WeakMap<GatewaySecret, HostPattern | null>();
  const isBound = (secret: GatewaySecret, host: CanonicalHost): boolean => {
    let pattern = bindings.get(secret);
    if (pattern === undefined) {
      const parsed = parseHostPattern(secret.host);
      pattern = parsed.kind === "invalid" ? null : parsed;
      bindings.set(secret, pattern);
    }
    return pattern !== null && matchesHost(pattern, host);
  };
  return (next) => (exchange) => {
    const { secrets } = exchange.generation.egress;
    if (secrets.length > 0) {
      const misplaced = substitute(exchange, secrets, isBound);
      if (misplaced !== undefined) {
        block(runtime, exchange, misplaced);
        return Promise.resolve();
      }
      for (const name of exchange.secretsInjected) runtime.metrics.secretInjected(name, exchange.target?.host.text ?? "");
    }
    return next(exchange);
  };
}

type Misplaced = { readonly secret: GatewaySecret; readonly reason: string };

function substitute(
  exchange: Exchange,
  secrets: readonly GatewaySecret[],
  isBound: (s: GatewaySecret, h: CanonicalHost) => boolean,
): Misplaced | undefined {
  const { target, origin } = exchange;
  if (target === undefined || origin === undefined) throw new Error("secrets run after identity and policy");
  const place = `${target.path}${target.query}`;
  const decodedPlace = place.includes("%") ? decodeLoosely(place) : place;
  for (const secret of secrets) {
    if (place.includes(secret.placeholder) || decodedPlace.includes(secret.placeholder)) {
      return { secret, reason: `the placeholder of ${secret.name} stands in the URL` };
    }
  }
  const { headers } = exchange;
  const drop = new Set<number>();
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const lower = (headers[i] ?? "").toLowerCase();
    const value = headers[i + 1] ?? "";
    const named = secrets.filter((secret) => find(value, secret.placeholder) !== undefined);
    const [first] = named;
    if (first === undefined) continue;
    const misplaced = (secret: GatewaySecret, why: string): Misplaced => {
      return { secret, reason: `the placeholder of ${secret.name} stands in the header ${lower.slice(0, 64)}${why}` };
    };
    if (named.some(({ placeholder }) => placeholder !== first.placeholder)) return misplaced(first, " beside another one");
    // one secret may be bound to several hosts; it is then one placeholder with several bindings
    const secret = named.find((candidate) => isBound(candidate, target.host));
    if (secret === undefined)
      return misplaced(first, ` of a request to ${target.host.text}, but it is bound to ${named.map(({ host }) => host).join(", ")}`);
    const scheme = [secret, ...(secret.others ?? [])].find(({ header }) => header === lower)?.scheme;
    if (scheme === undefined) return misplaced(secret, `, but it is bound to ${secret.header}`);
    if (!origin.carriesKeys) return misplaced(secret, " of a request that would carry the real value over plain HTTP");
    const isPlain = value.includes(secret.placeholder);
    if (isPlain && !fits(value, secret.placeholder, scheme)) return misplaced(secret, " in another form than the binding's");
    headers[i + 1] = isPlain ? value.replace(secret.placeholder, () => secret.value.reveal()) : replaceBasic(value, secret);
    exchange.secretsInjected.push(secret.name);
    exchange.keySource = secret.source ?? "sandbox";
    // every other place for a credential of this host would be another one, and servers differ on which counts
    const places = [secret, ...(secret.others ?? [])].map(({ header }) => header);
    for (let other = 0; other < headers.length; other += 2) {
      const isSubstituted = other === i || find(headers[other + 1] ?? "", secret.placeholder) !== undefined;
      if (!isSubstituted && places.includes((headers[other] ?? "").toLowerCase())) drop.add(other);
    }
  }
  if (drop.size > 0) exchange.headers = headers.filter((_, i) => !drop.has(i - (i % 2)));
  return undefined;
}

/** `Bearer x` or `x` alone for a bearer binding, `x` alone for a raw one; clients write the scheme in any case. */
function fits(value: string, placeholder: string, scheme: GatewaySecret["scheme"]): boolean {
  const trimmed = value.trim();
  if (trimmed === placeholder) return true;
  const space = trimmed.indexOf(" ");
  return scheme === "bearer" && /^(?:bearer|token)$/i.test(trimmed.slice(0, space)) && trimmed.slice(space + 1).trim() === placeholder;
}

function find(value: string, placeholder: string): "plain" | "basic" | undefined {
  if (value.includes(placeholder)) return "plain";
  return /^\s*basic\s/i.test(value) && decodeBasic(value).includes(placeholder) ? "basic" : undefined;
}

function decodeBasic(value: string): string {
  return Buffer.from(value.trim().slice(6).trim(), "base64").toString("latin1");
}

function replaceBasic(value: string, secret: GatewaySecret): string {
  const credentials = decodeBasic(value).replace(secret.placeholder, () => secret.value.reveal());
  return `Basic ${Buffer.from(credentials, "latin1").toString("base64")}`;
}

function decodeLoosely(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function block(runtime: Runtime, exchange: Exchange, { secret, reason }: Misplaced): void {
  const { egress } = exchange.generation;
  const host = exchange.target?.host.text ?? "";
  exchange.secretsInjected.length = 0;
  exchange.keySource = "none";
  exchange.decision = { verdict: "deny", rule: RULE, reason, policy: egress.policy.ref };
  const event = {
    type: "security.finding" as const,
    actor: { kind: "sandbox" as const, user_id: egress.name },
    outcome: "deny" as const,
    sandbox: egress.name,
    sandbox_uuid: egress.uuid,
    request_id: exchange.id,
    labels: egress.labels,
    finding: "secret_misplaced",
    severity: "high" as const,
    host,
    rule: `secret:${secret.name}`,
    reason,
  };
  runtime.metrics.finding(event);
  runtime.metrics.secretBlocked("host_not_allowed");
  runtime.report.finding(event);
  refusePolicy(exchange);
}
