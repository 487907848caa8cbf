import type { AddressClass } from "./address.ts";

/** Name of the rule that decided: a configured rule's id, or one of the built-in ones below. */
export type RuleId = string;

/** Rules that are not configured but always there. */
export const BUILT_IN_RULES = {
  default: "default",
  address: "address",
  identity: "identity",
  protocol: "protocol",
  path: "path",
  error: "error",
  network: "no-network",
  locked: "egress.locked",
} as const;

/** A verdict is a value, never an exception; anything thrown while deciding is a deny with rule `error`. */
export type Decision = {
  readonly verdict: "allow" | "deny";
  /** never optional: "default" is a rule too */
  readonly rule: RuleId;
  /** a sentence shown to agents, operators and auditors alike */
  readonly reason: string;
  /** `tunnel` passes TLS unopened, without secrets; only for an allow */
  readonly effect?: "inspect" | "tunnel";
  readonly address?: AddressClass;
  /** observe mode: allowed, but enforcing would have denied it; `rule` and `reason` are the denial's */
  readonly observed?: true;
  /** the generation that decided */
  readonly policy: PolicyRef;
  /** the one command that would allow what was denied */
  readonly hint?: string;
};

export type PolicyRef = { readonly id: string; readonly name?: string; readonly version: number };
