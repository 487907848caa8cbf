import type { Event } from "../../schema/event.ts";
import { NATIVE_OCSF_VERSION } from "../../schema/ocsf-version.ts";
import { type Classification, classify } from "./classify.ts";
import { OCSF_CLASS } from "./classes.ts";
import { actorLeftovers, actorOf, deviceOf, productOf } from "./common-parts.ts";
import { fitTo } from "./fit.ts";
import { mapAuditLog, mapAuth, mapChange } from "./map-administration.ts";
import { mapDecision, mapExchange } from "./map-egress.ts";
import { findingOf, mapFinding } from "./map-finding.ts";
import { mapLlm } from "./map-llm.ts";
import { mapExec, mapPool, mapSandbox, mapWorkspace } from "./map-sandbox.ts";
import type { Mapped } from "./mapped.ts";
import type { OcsfContext, OcsfEvent } from "./ocsf-event.ts";
import { isAlert, SEVERITY } from "./severity.ts";
import { compact, compactOrNone, labelsOf, timeOf, whole } from "./value.ts";

const STATUS_SUCCESS = 1;
const STATUS_FAILURE = 2;

/** Profiles of every event; a release drops those that a class of it does not offer. */
const PROFILES = ["container", "host", "security_control"] as const;

/**
 * An event as OCSF events of the wanted release, the event's own first. A denial that somebody should look at is followed by a
 * Detection Finding, and up to 1.3 every denial is, since most classes there have no place for a decision. A finding beside an
 * event has the uid `<event id>.finding`: readers drop duplicates by `metadata.uid`. The same input gives the same output.
 */
export function toOcsf(event: Event, context: OcsfContext): readonly OcsfEvent[] {
  const own = assemble(event, context, classify(event), mapEvent(event, context), event.id);
  if (!needsFinding(event, context)) return [fit(own, context)];
  const classification = { classUid: OCSF_CLASS.detectionFinding, activityId: 1 };
  const finding = assemble(event, context, classification, findingOf(event, own), `${event.id}.finding`);
  return [fit(own, context), fit(finding, context)];
}

function needsFinding(event: Event, { version }: OcsfContext): boolean {
  const isDenied = event.outcome === "deny" || ("decision" in event && event.decision === "deny");
  if (event.type === "security.finding" || !isDenied) return false;
  return isAlert(event) || version === "1.3.0" || version === "1.1.0";
}

function fit(event: OcsfEvent, { version }: OcsfContext): OcsfEvent {
  const native = fitTo(NATIVE_OCSF_VERSION, event);
  return version === NATIVE_OCSF_VERSION ? native : fitTo(version, native);
}

function mapEvent(event: Event, context: OcsfContext): Mapped {
  switch (event.type) {
    case "sandbox.operation":
      return mapSandbox(event, context);
    case "sandbox.exec":
      return mapExec(event);
    case "sandbox.workspace":
      return mapWorkspace(event);
    case "egress.exchange":
      return mapExchange(event);
    case "egress.decision":
      return mapDecision(event);
    case "llm.call":
      return mapLlm(event);
    case "auth.attempt":
      return mapAuth(event, context);
    case "admin.change":
      return mapChange(event);
    case "security.finding":
      return mapFinding(event, context);
    case "pool.change":
      return mapPool(event, context);
    case "audit.log":
      return mapAuditLog(event, context);
    default:
      return event satisfies never;
  }
}

/** The base event of OCSF around what a kind of event adds. Captions are filled in by {@link fitTo}. */
function assemble(event: Event, context: OcsfContext, classification: Classification, mapped: Mapped, uid: string): OcsfEvent {
  const { classUid, activityId, activityName } = classification;
  const { product } = context;
  const time = timeOf(event.timestamp);
  const hasSource = "src_endpoint" in mapped.attributes && event.actor.kind !== "sandbox";
  const hasContainer = event.sandbox !== undefined || event.sandbox_uuid !== undefined;
  const unmapped = compactOrNone({
    ...mapped.unmapped,
    ...(uid === event.id ? actorLeftovers(event.actor, hasSource) : {}),
    // `time` is required and cannot say that it is unknown
    timestamp: time === undefined ? event.timestamp : undefined,
    chain_uid: context.chain,
  });
  const code = mapped.code;
  return {
    activity_id: activityId,
    ...(activityName === undefined ? {} : { activity_name: activityName }),
    category_uid: Math.floor(classUid / 1000),
    class_uid: classUid,
    type_uid: classUid * 100 + activityId,
    severity_id: SEVERITY[event.outcome],
    time: time ?? 0,
    timezone_offset: 0,
    message: mapped.message,
    status_id: event.outcome === "permit" || event.outcome === "info" ? STATUS_SUCCESS : STATUS_FAILURE,
    ...compact({
      status_code: code === undefined || code === null ? undefined : String(code),
      status_detail: mapped.detail,
      duration: whole(mapped.durationMs),
    }),
    metadata: {
      version: context.version,
      uid,
      ...(context.sequence === undefined ? {} : { sequence: context.sequence }),
      ...compact({
        event_code: event.type,
        correlation_uid: event.request_id,
        tenant_uid: event.actor.org_id,
        log_name: "audit",
        log_provider: product.name,
        labels: hasContainer ? undefined : labelsOf(event.labels),
        original_event_uid: uid === event.id ? undefined : event.id,
      }),
      product: { ...productOf(product), feature: { name: "audit" } },
      profiles: [...PROFILES, ...(mapped.profiles ?? [])],
    },
    actor: actorOf(event, product),
    device: deviceOf(event, context),
    ...mapped.attributes,
    ...(unmapped === undefined ? {} : { unmapped }),
  };
}
