import type { Event, Outcome } from "../../schema/event.ts";
import type { Attributes } from "./ocsf-event.ts";
import { isAlert } from "./severity.ts";
import { compact } from "./value.ts";

/** Attributes of the profile `security_control`: what was decided, by which rule of which policy, and whether it is an alert. */

const ACTION = { allowed: 1, denied: 2, observed: 3 } as const;
const DISPOSITION = { allowed: 1, blocked: 2, logged: 17, alert: 19, rejected: 25, unauthorized: 26, error: 27 } as const;

type PolicyRef = { readonly id: string; readonly name?: string | undefined; readonly version: number };

export type Judgement = {
  readonly policy?: PolicyRef | undefined;
  readonly rule?: string | undefined;
  readonly reason?: string | undefined;
};

export function controlOf(event: Event, { policy, rule, reason }: Judgement = {}): Attributes {
  const reference = policy === undefined ? undefined : policyOf(policy);
  const decision = decisionOf(event);
  return compact({
    ...actionOf(event),
    is_alert: isAlert(event),
    policy: reference,
    authorizations: reference === undefined || decision === undefined ? undefined : [{ decision, policy: reference }],
    firewall_rule: rule === undefined ? undefined : compact({ uid: rule, name: rule, type: "egress", condition: reason }),
  });
}

export function policyOf(policy: PolicyRef): Attributes {
  return compact({ uid: policy.id, name: policy.name, version: String(policy.version), is_applied: true });
}

function decisionOf(event: Event): "permit" | "deny" | undefined {
  if ("decision" in event) return event.decision === "allow" ? "permit" : "deny";
  return event.outcome === "permit" || event.outcome === "deny" ? event.outcome : undefined;
}

function actionOf(event: Event): Attributes {
  if (event.type === "egress.exchange" && event.observed === true)
    return { action_id: ACTION.observed, disposition_id: DISPOSITION.logged };
  // an allowed exchange that failed on its way was allowed all the same
  if ("decision" in event) return ACTIONS[event.decision === "allow" ? "permit" : "deny"];
  if (event.type === "auth.attempt" && event.outcome === "deny") return { action_id: ACTION.denied, disposition_id: DISPOSITION.rejected };
  if (event.type === "security.finding" && event.outcome !== "deny")
    return { action_id: ACTION.observed, disposition_id: DISPOSITION.alert };
  if (event.type === "sandbox.operation" && event.outcome === "deny")
    return { action_id: ACTION.denied, disposition_id: DISPOSITION.unauthorized };
  return ACTIONS[event.outcome];
}

const ACTIONS: Readonly<Record<Outcome, Attributes>> = {
  permit: { action_id: ACTION.allowed, disposition_id: DISPOSITION.allowed },
  deny: { action_id: ACTION.denied, disposition_id: DISPOSITION.blocked },
  error: { action_id: ACTION.allowed, disposition_id: DISPOSITION.error },
  info: { action_id: ACTION.observed, disposition_id: DISPOSITION.logged },
};
