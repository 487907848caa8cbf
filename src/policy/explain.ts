import type { Decision } from "./decision.ts";
import { normalisePath } from "./path.ts";
import { compilePolicy } from "./compile.ts";
import type { PolicyInput, PolicyRequest, RuleInput } from "./policy.ts";
import { compileRule, matchesOrigin, matchesRequest } from "./rule.ts";

/** What one rule said to a request. */
export type RuleTrace = {
  readonly id: string;
  readonly origin: RuleInput["origin"];
  readonly effect: RuleInput["effect"];
  readonly host: string;
  readonly matched: "no" | "host" | "request";
};

/** A decision with what every rule contributed to it, in the order they stand. For people; the gateway uses `Policy.decide`. */
export function explain(input: PolicyInput, request: PolicyRequest): { readonly decision: Decision; readonly rules: readonly RuleTrace[] } {
  const decision = compilePolicy(input).decide(request);
  const line = { method: request.method, path: request.path === undefined ? undefined : normalisePath(request.path) };
  const rules = input.rules.map((source): RuleTrace => {
    const rule = compileRule(source);
    const isOrigin = matchesOrigin(rule, request.host, request.port);
    const matched = isOrigin ? (matchesRequest(rule, line) ? "request" : "host") : "no";
    return { id: source.id, origin: source.origin, effect: source.effect, host: source.host, matched };
  });
  return { decision, rules };
}
