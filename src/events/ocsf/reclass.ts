import { OCSF_CLASS } from "./classes.ts";
import type { Attributes, OcsfEvent } from "./ocsf-event.ts";

export type Reclassed = {
  readonly event: OcsfEvent;
  /** what the event was, for `unmapped.downgraded` */
  readonly was: Attributes;
};

/**
 * The class that takes an event which a release has no class for, or whose class demands there what the event does not have:
 * Event Log Activity (not in 1.1) becomes Application Lifecycle of the log, and an HTTP exchange that ended before its response
 * (required up to 1.3) becomes Network Activity.
 */
export function reclass(event: OcsfEvent): Reclassed {
  const { class_uid, class_name, activity_id, activity_name } = event;
  const was = { class_uid, activity_id, ...(class_name === undefined ? {} : { class_name, activity_name }) };
  return { event: event.class_uid === OCSF_CLASS.httpActivity ? asNetworkActivity(event) : asApplicationLifecycle(event), was };
}

function asNetworkActivity(event: OcsfEvent): OcsfEvent {
  const isRefused = event["action_id"] === 2;
  return {
    ...event,
    ...idsOf(event, OCSF_CLASS.networkActivity, 4),
    ...(isRefused ? { activity_id: 5, activity_name: "Refuse" } : { activity_id: 4, activity_name: "Fail" }),
  };
}

/** Event Log Activity's Start and Stop; the others have no counterpart and stand as 99 with their own name. */
const LOG_ACTIVITY: Readonly<Record<number, number>> = { 6: 3, 7: 4 };

function asApplicationLifecycle(event: OcsfEvent): OcsfEvent {
  return {
    ...event,
    ...idsOf(event, OCSF_CLASS.applicationLifecycle, 6),
    activity_id: LOG_ACTIVITY[event.activity_id] ?? 99,
    app: event.metadata["product"],
  };
}

/** The ids of another class; captions are filled in by the release. */
function idsOf(event: OcsfEvent, classUid: number, categoryUid: number): Pick<OcsfEvent, "class_uid" | "category_uid" | "type_uid"> {
  return { class_uid: classUid, category_uid: categoryUid, type_uid: classUid * 100 + event.activity_id };
}
