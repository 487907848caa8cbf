import type { Event, FindingEvent } from "../../schema/event.ts";
import { actorOf, sandboxEndpoint, sandboxResource } from "./common-parts.ts";
import { controlOf } from "./control.ts";
import { destinationOf } from "./map-egress.ts";
import type { Mapped } from "./mapped.ts";
import type { Attributes, OcsfContext, OcsfEvent } from "./ocsf-event.ts";
import { compact, timeOf } from "./value.ts";

/** a finding's `status_id` is its case's: New, where other classes have Success and Failure (2 is In Progress here) */
const STATUS_NEW = 1;
/** `analytic.type_id`: a rule */
const ANALYTIC_RULE = 1;
const RISK_LEVEL: Readonly<Record<FindingEvent["severity"], number>> = { low: 1, medium: 2, high: 3, critical: 4 };

export function mapFinding(event: FindingEvent, context: OcsfContext): Mapped {
  const { finding, severity, host, rule, reason, budget } = event;
  return {
    message: `${finding}: ${reason}`,
    detail: reason,
    attributes: {
      finding_info: compact({
        uid: event.id,
        title: finding,
        desc: reason,
        created_time: timeOf(event.timestamp),
        analytic: analyticOf(rule ?? finding),
      }),
      evidences: [
        compact({
          actor: actorOf(event, context.product),
          src_endpoint: sandboxEndpoint(event),
          dst_endpoint: host === undefined ? undefined : destinationOf(host, undefined, undefined),
        }),
      ],
      ...resourcesOf(event),
      status_id: STATUS_NEW,
      risk_level_id: RISK_LEVEL[severity],
      ...controlOf(event, { rule, reason }),
    },
    unmapped: { finding, severity, host, budget },
  };
}

/** Attributes of a denial's own event that its finding shows as evidence, or carries on. */
const EVIDENCE = [
  "actor",
  "src_endpoint",
  "dst_endpoint",
  "connection_info",
  "query",
  "process",
  "file",
  "api",
  "http_request",
  "http_response",
] as const;
const CARRIED = [
  "action_id",
  "disposition_id",
  "policy",
  "authorizations",
  "firewall_rule",
  "device",
  "actor",
  "status_code",
  "status_detail",
  "count",
] as const;

/** The finding that stands beside the event of a denial, in the words of that event. */
export function findingOf(event: Event, denial: OcsfEvent): Mapped {
  const reason = "reason" in event ? event.reason : undefined;
  const rule = "rule" in event ? event.rule : undefined;
  const detail = reason ?? rule;
  return {
    message: `denied: ${String(denial["message"])}`,
    detail,
    attributes: {
      ...pick(denial, CARRIED),
      status_id: STATUS_NEW,
      is_alert: denial["is_alert"] ?? false,
      finding_info: compact({
        uid: denial.metadata.uid,
        title: `Denied: ${event.type}`,
        desc: detail,
        created_time: denial.time,
        analytic: analyticOf(rule ?? event.type),
        related_events: [{ uid: denial.metadata.uid, type_uid: denial.type_uid }],
      }),
      evidences: [pick(denial, EVIDENCE)],
      ...resourcesOf(event),
    },
  };
}

function analyticOf(rule: string): Attributes {
  return { type_id: ANALYTIC_RULE, uid: rule, name: rule };
}

function resourcesOf(event: Event): Attributes {
  return event.sandbox === undefined && event.sandbox_uuid === undefined
    ? {}
    : { resources: [{ ...sandboxResource(event, {}), role_id: 3 }] };
}

function pick(from: Attributes, names: readonly string[]): Attributes {
  return compact(Object.fromEntries(names.map((name) => [name, from[name]])));
}
