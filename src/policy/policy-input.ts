import { AppError } from "../base/error.ts";
import type { Profile } from "../schema/profile.ts";
import type { EgressSettings } from "../schema/settings.ts";
import { parseAllow } from "./allow.ts";
import { coversPattern, formatHostPattern, patternsOverlap } from "./host-pattern.ts";
import type { PolicyInput, RuleInput } from "./policy.ts";
import { compileRule, sharePort } from "./rule.ts";

/** A secret and the host it is for; `operator`: it comes from the configuration. */
export type SecretHost = { readonly name: string; readonly host: string; readonly origin: "operator" | "caller" };

/** What a sandbox calls the machine that it runs on. */
export const HOST_NAME = "host.agentkernel.internal";

export type PolicyParts = {
  /** the generation */
  readonly ref: PolicyInput["ref"];
  readonly egress: EgressSettings;
  readonly profile: Profile;
  /** what the caller asked for: `--allow`, `allow[]` */
  readonly allow: readonly string[];
  /** what the template asks for */
  readonly templateAllow?: readonly string[];
  /** rules made while running, for every sandbox and for this one */
  readonly added?: readonly RuleInput[];
  /** sandbox that `policy allow` can name */
  readonly sandbox?: string;
  /** it runs already: what the operator no longer permits is denied when it is tried, and not a reason to keep the old policy */
  readonly isLive?: boolean;
  readonly secrets: readonly SecretHost[];
  /** ports of services on this machine that the caller opened: `--allow-host-port` */
  readonly hostPorts?: readonly number[];
  /** addresses of this machine that this program listens on */
  readonly ownAddresses: readonly string[];
  /** ports of its control and metrics listeners */
  readonly ownPorts: readonly number[];
};

/**
 * Everything one sandbox's policy is made from, pure; used alike by create, start, restart and reload.
 *
 * @throws VALIDATION or POLICY_DENIED for what the caller asked for, CONFIG_INVALID for what the operator wrote
 */
export function policyInputFor(parts: PolicyParts): PolicyInput {
  const { egress, profile } = parts;
  const rules = [
    ...operatorRules(egress),
    ...parts.allow.map((text) => parseAllow(text, { id: "--allow", origin: "caller" })),
    ...(parts.templateAllow ?? []).map((text) => parseAllow(text, { id: "template", origin: "template" })),
    ...parts.secrets.map(secretRule),
    ...hostPortRules(parts),
    ...(parts.added ?? []),
  ];
  if (profile.network === "none") refuseWithoutNetwork(parts);
  refuseSecretsInTunnels(rules);
  if (egress.locked && parts.isLive !== true) refuseBeyondOperator(rules.filter(({ origin }) => origin !== "api"));
  return {
    ref: parts.ref,
    default: profile.network === "configured" ? (egress.default === "allow" ? "public" : "deny") : profile.network,
    mode: egress.mode,
    locked: egress.locked,
    rules,
    ownAddresses: parts.ownAddresses,
    ownPorts: parts.ownPorts,
    unsafeAllowPrivate: egress.unsafeAllowPrivate,
    ...(parts.sandbox === undefined ? {} : { sandbox: parts.sandbox }),
  };
}

/**
 * Holds a new rule against the operator's, for the moment it is made: later on the policy itself keeps it inside.
 * @throws VALIDATION for a rule that is wrong, POLICY_DENIED beyond a locked list
 */
export function checkAddedRule(egress: EgressSettings, rule: RuleInput): void {
  compileRule(rule);
  if (egress.locked) refuseBeyondOperator([...operatorRules(egress), rule]);
}

/** `[[egress.rules]]` as rules; compile them once at start and at reload, so that a bad one is found before a sandbox is. */
export function operatorRules(egress: EgressSettings): readonly RuleInput[] {
  return egress.rules.map((rule, at) => ({ ...rule, id: `egress.rules[${at}]`, origin: "operator" }));
}

/** @throws POLICY_DENIED for a port of our own: whoever reaches the API from here is this user */
function hostPortRules({ hostPorts = [], ownPorts }: PolicyParts): readonly RuleInput[] {
  const own = hostPorts.find((port) => ownPorts.includes(port));
  if (own !== undefined)
    throw new AppError("POLICY_DENIED", `--allow-host-port ${own} is agentkernel's own port, which no sandbox may reach`);
  return hostPorts.length === 0 ? [] : [{ id: "--allow-host-port", host: HOST_NAME, ports: hostPorts, effect: "allow", origin: "caller" }];
}

/** HTTPS only: a secret is never put into a request that others can read. */
function secretRule({ name, host, origin }: SecretHost): RuleInput {
  return { id: `secret:${name}`, host, ports: [443], effect: "allow", origin };
}

/** An option that could have no effect is refused, not ignored. The operator's default secrets simply do not apply. */
function refuseWithoutNetwork({ profile, allow, secrets, hostPorts = [] }: PolicyParts): void {
  const asked = allow[0] ?? hostPorts.map((port) => `${HOST_NAME}:${port}`)[0] ?? secrets.find(({ origin }) => origin === "caller")?.host;
  if (asked === undefined) return;
  throw new AppError("VALIDATION", `${JSON.stringify(asked.slice(0, 260))} cannot be reached: the profile ${profile.name} has no network`, {
    hint: "use --profile moderate",
  });
}

function refuseSecretsInTunnels(inputs: readonly RuleInput[]): void {
  const rules = inputs.map(compileRule);
  for (const tunnel of rules.filter(({ effect }) => effect === "tunnel")) {
    const secret = rules.find(
      (rule) => rule.id.startsWith("secret:") && patternsOverlap(rule.host, tunnel.host) && sharePort(rule, tunnel),
    );
    if (secret !== undefined) {
      throw new AppError(
        secret.origin === "operator" ? "CONFIG_INVALID" : "VALIDATION",
        `${secret.id} is bound to ${formatHostPattern(secret.host)}, which ${tunnel.id} passes unopened, so it could not be put in`,
        {
          hint: `bind it to another host, or remove ${tunnel.id}`,
        },
      );
    }
  }
}

/** Beyond a locked list a request is refused by name, at create time, instead of failing later inside. */
function refuseBeyondOperator(inputs: readonly RuleInput[]): void {
  const rules = inputs.map(compileRule);
  const bound = rules.filter(({ origin, effect }) => origin === "operator" && effect !== "deny");
  for (const rule of rules) {
    if (rule.origin === "operator" || rule.effect === "deny") continue;
    const isInside = bound.some((outer) => sharePort(outer, rule) && coversPattern(outer.host, rule.host));
    if (!isInside) {
      throw new AppError(
        "POLICY_DENIED",
        `${rule.id} ${formatHostPattern(rule.host)} is outside the hosts that the operator's configuration permits`,
        {
          hint: "egress.locked is set: only the operator's [[egress.rules]] can add it",
        },
      );
    }
  }
}
