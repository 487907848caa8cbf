import { canonicalAddress } from "./address.ts";
import { AppError } from "../base/error.ts";
import { allowCommand } from "../schema/allow-command.ts";
import { decideAddress, type AddressPolicy } from "./decide-address.ts";
import { BUILT_IN_RULES, type Decision } from "./decision.ts";
import { formatAuthority, type CanonicalHost } from "./host.ts";
import { normalisePath } from "./path.ts";
import type { Policy, PolicyInput, PolicyRequest } from "./policy.ts";
import { compileRule, DEFAULT_PORTS, matchesRequest, refuseRulesThatTunnelsDefeat, type RequestLine, type Rule } from "./rule.ts";
import { RuleIndex } from "./rule-index.ts";

/**
 * Makes an immutable generation. Deny beats allow; a locked operator's allow list is the outer bound; what no rule names meets the
 * default.
 *
 * @throws CONFIG_INVALID or VALIDATION naming the first rule that is wrong; the caller then keeps the generation it has
 */
export function compilePolicy(input: PolicyInput): Policy {
  const rules = input.rules.map(compileRule);
  refuseRulesThatTunnelsDefeat(rules);
  const ownAddresses = input.ownAddresses.map((address) => {
    const text = canonicalAddress(address);
    if (text === undefined) throw new AppError("INTERNAL", `own address ${JSON.stringify(address)} is not an IP address`);
    return text;
  });
  const opened = rules.filter((rule) => rule.effect !== "deny").flatMap((rule) => rule.ports ?? []);
  const ports = input.default === "none" ? [] : [...new Set([...DEFAULT_PORTS, ...opened])].sort((a, b) => a - b);
  const index = new RuleIndex(rules);
  const addresses = { ref: input.ref, ownAddresses, ownPorts: input.ownPorts, unsafeAllowPrivate: input.unsafeAllowPrivate };
  return Object.freeze({
    ref: input.ref,
    mode: input.mode,
    ports: Object.freeze(ports),
    decide: (request: PolicyRequest) => closed(input, () => observe(input, decideRequest(input, index, request, addresses))),
    decideAddress: (host: CanonicalHost, address: string, options: Parameters<Policy["decideAddress"]>[2]) =>
      closed(input, () => decideAddress(addresses, host, address, options)),
  });
}

/** Fail closed: whatever is thrown while deciding is a deny, and its message, which may hold hostile bytes, is not repeated. */
function closed(input: PolicyInput, decide: () => Decision): Decision {
  try {
    return decide();
  } catch {
    return { verdict: "deny", rule: BUILT_IN_RULES.error, reason: "The request could not be judged, so it is denied.", policy: input.ref };
  }
}

/** In observe mode a denial by rules becomes an allow that says so. What keeps the host itself safe stays denied. */
function observe(input: PolicyInput, decision: Decision): Decision {
  const kept: readonly string[] = [BUILT_IN_RULES.network, BUILT_IN_RULES.path, BUILT_IN_RULES.error];
  if (input.mode === "enforce" || decision.verdict === "allow" || kept.includes(decision.rule)) return decision;
  return {
    ...decision,
    verdict: "allow",
    effect: "inspect",
    observed: true,
    reason: `Observed only, enforcing would deny: ${decision.reason}`,
  };
}

function decideRequest(input: PolicyInput, index: RuleIndex, request: PolicyRequest, addresses: AddressPolicy): Decision {
  const { host, port } = request;
  if (input.default === "none") return deny(input, BUILT_IN_RULES.network, "This sandbox has no network.");
  const path = request.path === undefined ? undefined : normalisePath(request.path);
  if (path?.kind === "invalid") return deny(input, BUILT_IN_RULES.path, `The request path ${path.reason}.`);
  const line: RequestLine = { method: request.method, path };
  const named = index.find(host, port);
  const matching = named.filter((rule) => matchesRequest(rule, line));

  const denying = first(matching, (rule) => rule.effect === "deny");
  if (denying !== undefined) {
    const reason = `${what(request)} is denied by ${MAKERS[denying.origin]}.`;
    // what a command denied, a command allows
    return denying.origin === "api"
      ? { ...deny(input, denying.id, reason), hint: undoing(denying, input, request) }
      : deny(input, denying.id, reason);
  }
  const allowing = matching.filter((rule) => rule.effect !== "deny");
  const ambiguity = path?.kind === "ambiguous" ? path.reason : undefined;
  if (input.locked && !allowing.some((rule) => rule.origin === "operator")) {
    const near = named.find((rule) => rule.effect !== "deny" && rule.origin === "operator");
    const reason =
      near === undefined
        ? `${what(request)} is outside the hosts that the operator's configuration permits, and nobody else may add to them.`
        : notCovered(near, request, ambiguity);
    return deny(input, near?.id ?? BUILT_IN_RULES.locked, reason);
  }
  // an operator's tunnel stands, whoever else allows the host: the client would break on our certificate
  const rule = first(allowing, (candidate) => candidate.effect === "tunnel") ?? first(allowing, () => true);
  if (rule !== undefined) {
    const effect = rule.effect === "tunnel" ? "tunnel" : "inspect";
    return { verdict: "allow", rule: rule.id, reason: `${what(request)} is allowed by ${rule.id}.`, effect, policy: input.ref };
  }
  const nearest = named.find((candidate) => candidate.effect !== "deny");
  if (nearest !== undefined) {
    return { ...deny(input, nearest.id, notCovered(nearest, request, ambiguity)), hint: hintFor(input, request) };
  }
  if (input.default === "public" && host.kind === "name") {
    return {
      verdict: "allow",
      rule: BUILT_IN_RULES.default,
      reason: "Public hosts are allowed by default.",
      effect: "inspect",
      policy: input.ref,
    };
  }
  if (host.kind !== "name") return unnamedAddress(input, request, addresses);
  return { ...deny(input, BUILT_IN_RULES.default, unnamed(index, request)), hint: hintFor(input, request) };
}

/** A rule would not open every address: there the hint is what does, or none. */
function unnamedAddress(input: PolicyInput, request: PolicyRequest, addresses: AddressPolicy): Decision {
  const { host, port } = request;
  const dialled = decideAddress(addresses, host, host.text, { port });
  const reason = `No rule allows the address ${host.text}; addresses need a rule of their own.`;
  if (dialled.verdict === "allow") return { ...deny(input, BUILT_IN_RULES.default, reason), hint: hintFor(input, request) };
  const closed = deny(input, BUILT_IN_RULES.default, `No rule allows the address ${host.text}, nor could one: ${dialled.reason}`);
  const isService = dialled.address === "loopback" && !addresses.ownPorts.includes(port);
  return isService
    ? { ...closed, hint: `agentkernel run --allow-host-port ${port} …, and inside host.agentkernel.internal:${port}` }
    : closed;
}

const MAKERS: Readonly<Record<Rule["origin"], string>> = {
  operator: "the operator's configuration",
  api: "a rule made with `policy deny` or over the API",
  profile: "the profile",
  template: "the template",
  caller: "the caller",
};

/** The one command that allows what was denied, for this sandbox alone. */
function hintFor(input: PolicyInput, { host, port }: PolicyRequest): string {
  return allowCommand(allowTarget(host, port), input.sandbox);
}

/** The one command that undoes a denial made by a command: an allow in its place, where it speaks of the same; else its removal. */
function undoing(rule: Rule, input: PolicyInput, { host, port }: PolicyRequest): string {
  const speaksOfAll = rule.methods === undefined && rule.paths === undefined && rule.host.kind === "exact";
  if (!speaksOfAll || (rule.ports !== undefined && rule.ports.length > 1)) return `agentkernel policy rm ${rule.id}`;
  const target = rule.ports === undefined ? allowTarget(host, port) : formatAuthority(host, port);
  if (rule.isForAll) return `agentkernel policy allow ${target}`;
  return allowCommand(target, input.sandbox);
}

function unnamed(index: RuleIndex, { host, port }: PolicyRequest): string {
  const elsewhere = index.names(host).find((rule) => rule.effect !== "deny" && rule.ports?.length !== 0);
  return elsewhere?.ports === undefined
    ? `No rule allows ${host.text}.`
    : `No rule allows ${host.text} on port ${port}; ${elsewhere.id} allows it on ${elsewhere.ports.join(", ")}.`;
}

function notCovered(rule: Rule, request: PolicyRequest, ambiguity: string | undefined): string {
  const allows = `${rule.id} allows ${request.host.text}, but`;
  if (rule.methods?.length === 0 || rule.paths?.length === 0) return `${allows} its list of methods or paths is empty, so no request fits.`;
  return ambiguity === undefined ? `${allows} not this method or path.` : `${allows} only some paths, and this one ${ambiguity}.`;
}

function what({ host, port, scheme }: PolicyRequest): string {
  return formatAuthority(host, port, scheme === "https" ? 443 : 80);
}

/** As `--allow` takes it: the port only where the rule would not cover it by itself. */
function allowTarget(host: CanonicalHost, port: number): string {
  return formatAuthority(host, port, DEFAULT_PORTS.includes(port) ? port : undefined);
}

/** The operator's rule first, so that the reason names the one that matters most. */
function first(rules: readonly Rule[], is: (rule: Rule) => boolean): Rule | undefined {
  return rules.find((rule) => rule.origin === "operator" && is(rule)) ?? rules.find(is);
}

function deny(input: PolicyInput, rule: string, reason: string): Decision {
  return { verdict: "deny", rule, reason, policy: input.ref };
}
