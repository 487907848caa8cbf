import type { Decision, PolicyRef } from "./decision.ts";
import type { CanonicalHost } from "./host.ts";

/** One rule as an operator or a caller wrote it. */
export type RuleInput = {
  /** stable name shown in decisions: `egress.rules[3]`, `--allow`, `profile:moderate`, `secret:OPENAI_API_KEY` */
  readonly id: string;
  /** `api.openai.com`, `*.example.com` (not the apex), an IP literal */
  readonly host: string;
  /** undefined: 80 and 443, and every port for a denial; `[]`: none */
  readonly ports?: readonly number[];
  /** undefined: every method; `[]`: none */
  readonly methods?: readonly string[];
  /** path patterns, `*` within a segment, `**` over segments; undefined: every path; `[]`: none */
  readonly paths?: readonly string[];
  readonly effect: "allow" | "deny" | "tunnel";
  /** `caller`, `template` and `api` (made while running): judged inside what the operator permits */
  readonly origin: "operator" | "profile" | "template" | "caller" | "api";
  /** made while running, and not for one sandbox alone */
  readonly isForAll?: true;
};

/** Everything one sandbox's policy is made from. */
export type PolicyInput = {
  readonly ref: PolicyRef;
  /** what happens to a host that no rule names; `public` allows every public address; `none` is no network at all */
  readonly default: "deny" | "public" | "none";
  readonly mode: "enforce" | "observe";
  /** the operator's rules are the outer bound of everybody else's */
  readonly locked: boolean;
  readonly rules: readonly RuleInput[];
  /** addresses that this program itself listens on; never reachable */
  readonly ownAddresses: readonly string[];
  /** ports of this program's own control and metrics listeners */
  readonly ownPorts: readonly number[];
  readonly unsafeAllowPrivate: boolean;
  /** sandbox that `policy allow` can name; absent: one that ends with its command, so that hints speak of `run --allow` */
  readonly sandbox?: string;
};

export type PolicyRequest = {
  readonly host: CanonicalHost;
  readonly port: number;
  readonly scheme: "http" | "https";
  /** absent while only the connection is known */
  readonly method?: string;
  /**
   * As sent, percent escapes and all, without query; absent while only the connection is known. `decide` normalises it: what no
   * honest client sends is denied by rule `path`, what is only ambiguous is denied where a rule looks at paths.
   */
  readonly path?: string;
};

export type AddressOptions = {
  /** port that would be dialled */
  readonly port: number;
  /** the operator named this origin (an upstream) */
  readonly trusted?: boolean;
};

/** An immutable generation, ready to decide. */
export interface Policy {
  readonly ref: PolicyRef;
  readonly mode: "enforce" | "observe";
  /** never throws */
  decide(request: PolicyRequest): Decision;
  /** may this resolved address be dialled for this host? never throws */
  decideAddress(host: CanonicalHost, address: string, options: AddressOptions): Decision;
  /** ports the sandbox has to listen on: 80, 443 and those its rules name; none without a network */
  readonly ports: readonly number[];
}
