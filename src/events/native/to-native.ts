import type { Event } from "../../schema/event.ts";
import type { NativeRecord } from "../../schema/native-record.ts";
import { NATIVE_OCSF_VERSION } from "../../schema/ocsf-version.ts";
import { type Classification, classify } from "../ocsf/classify.ts";
import type { OcsfContext } from "../ocsf/ocsf-event.ts";
import { schemaTable } from "../ocsf/schema-table.ts";
import { SEVERITY } from "../ocsf/severity.ts";
import { subjectOf } from "./subject.ts";

/** An event as the native audit record. The same input gives the same output; nothing of the event is lost. */
export function toNative(event: Event, { product, hostname }: Pick<OcsfContext, "product" | "hostname">): NativeRecord {
  const { id, timestamp, actor, outcome, schema_version: _version, ...attributes } = event;
  const { kind, ...who } = actor;
  const { action, resourceType, resourceId } = subjectOf(event);
  const classification = classify(event);
  const policy = "policy" in event ? event.policy : undefined;
  return {
    time: timestamp,
    class_uid: classification.classUid,
    category_uid: Math.floor(classification.classUid / 1000),
    severity_id: SEVERITY[outcome],
    type_name: typeName(classification),
    uid: id,
    action,
    outcome,
    actor: who,
    resource: { resource_type: resourceType, resource_id: resourceId, attributes: { ...attributes, actor_kind: kind } },
    ...(policy === undefined
      ? {}
      : {
          policy: {
            policy_id: policy.id,
            ...(policy.name === undefined ? {} : { policy_name: policy.name }),
            policy_version: policy.version,
          },
        }),
    metadata: { product_name: product.name, vendor_name: product.vendor, product_version: product.version, hostname },
  };
}

/** `Class: Activity`, with the event's own word where OCSF has none. */
export function typeName({ classUid, activityId, activityName }: Classification): string {
  const item = schemaTable(NATIVE_OCSF_VERSION).classes.get(classUid);
  return `${item?.caption ?? classUid}: ${activityName ?? item?.attributes.get("activity_id")?.enum?.[activityId] ?? "Unknown"}`;
}
