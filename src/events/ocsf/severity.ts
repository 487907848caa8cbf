import type { Event, Outcome } from "../../schema/event.ts";

/** OCSF `severity_id` by outcome, the same in the native record: informational, medium, high. */
export const SEVERITY: Readonly<Record<Outcome, number>> = { permit: 1, info: 1, deny: 3, error: 4 };

/** Built-in rules whose denial tells of an attempt, not of a host that nobody allowed yet. */
const ALERTING_RULES: ReadonlySet<string> = new Set(["address", "identity"]);

/** Whether somebody should look at it: a denied way inwards, a forged name, a changed hook file, a finding, a tampered log. */
export function isAlert(event: Event): boolean {
  switch (event.type) {
    case "egress.exchange":
    case "egress.decision":
      return event.decision === "deny" && ALERTING_RULES.has(event.rule);
    case "sandbox.workspace":
      return event.sensitive.length > 0;
    case "security.finding":
      return true;
    case "audit.log":
      return event.operation === "tampered" || event.operation === "gap";
    default:
      return false;
  }
}
