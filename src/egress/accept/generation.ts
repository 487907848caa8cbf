import { BUILT_IN_RULES, type Decision } from "../../policy/decision.ts";
import type { PolicyRequest } from "../../policy/policy.ts";
import type { SandboxEgress, Upstream } from "../options.ts";
import type { Origin } from "../upstream/origin.ts";
import type { UpstreamPool } from "../upstream/pool.ts";

/** One sandbox's policy, secrets and upstreams at one time, with the upstream connections that were judged under it. */
export type Generation = {
  readonly egress: SandboxEgress;
  /** the operator's, then the sandbox's own */
  readonly upstreams: readonly Upstream[];
  readonly pool: UpstreamPool;
  /** origins found so far, by scheme, host and port */
  readonly origins: Map<string, Origin>;
};

/** The policy's decision; anything thrown while deciding is a deny. */
export function decide(generation: Generation, request: PolicyRequest): Decision {
  const { policy } = generation.egress;
  try {
    return policy.decide(request);
  } catch {
    return { verdict: "deny", rule: BUILT_IN_RULES.error, reason: "The request could not be judged, so it is denied.", policy: policy.ref };
  }
}
