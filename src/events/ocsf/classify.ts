import type { DecisionEvent, Event, ExchangeEvent } from "../../schema/event.ts";
import { OCSF_CLASS } from "./classes.ts";

/** OCSF class and activity of an event; `activityName` only beside 99, where the event's own word stands. */
export type Classification = { readonly classUid: number; readonly activityId: number; readonly activityName?: string };

type Activities = Readonly<Record<string, number>>;

/** Anything that has a caller is a call of our API; the same thing done by agentkernel itself is the application's lifecycle. */
const API: Readonly<Record<"sandbox.operation" | "pool.change", Activities>> = {
  "sandbox.operation": { create: 1, attach: 2, start: 3, stop: 3, extend: 3, adopt: 3, end: 3, remove: 4 },
  "pool.change": { claim: 1, refill: 3, drain: 3, reap: 4 },
};
const LIFECYCLE: typeof API = {
  "sandbox.operation": { create: 1, remove: 2, start: 3, stop: 4, end: 4, extend: 8 },
  "pool.change": { refill: 3, reap: 4, claim: 6, drain: 7 },
};
const EXEC: Activities = { launch: 1, exit: 2 };
const WORKSPACE: Activities = { apply: 3 };
const CHANGE: Activities = { create: 1, update: 3, delete: 4 };
const AUDIT_LOG: Activities = { delete: 2, export: 3, rotate: 5, start: 6, stop: 7 };
/** RFC 9110 methods are case-sensitive: `get` is another method than GET. */
const HTTP: Activities = { CONNECT: 1, DELETE: 2, GET: 3, HEAD: 4, OPTIONS: 5, POST: 6, PUT: 7, TRACE: 8, PATCH: 9 };
const MODEL_CALL = 1;
const FINDING_CREATED = 1;
const LOGON = 1;

export function classify(event: Event): Classification {
  switch (event.type) {
    case "sandbox.operation":
    case "pool.change":
      return event.actor.kind === "system"
        ? activity(OCSF_CLASS.applicationLifecycle, LIFECYCLE[event.type], event.operation)
        : activity(OCSF_CLASS.apiActivity, API[event.type], event.operation);
    case "sandbox.exec":
      return activity(OCSF_CLASS.processActivity, EXEC, event.operation);
    case "sandbox.workspace":
      return activity(OCSF_CLASS.fileActivity, WORKSPACE, event.operation);
    case "egress.exchange":
      return httpActivity(event);
    case "egress.decision":
      return networkActivity(event);
    case "llm.call":
      return { classUid: OCSF_CLASS.apiActivity, activityId: MODEL_CALL };
    case "auth.attempt":
      return { classUid: OCSF_CLASS.authentication, activityId: LOGON };
    case "admin.change":
      return activity(OCSF_CLASS.entityManagement, CHANGE, event.operation);
    case "security.finding":
      return { classUid: OCSF_CLASS.detectionFinding, activityId: FINDING_CREATED };
    case "audit.log":
      return activity(OCSF_CLASS.eventLogActivity, AUDIT_LOG, event.operation);
    default:
      return event satisfies never;
  }
}

function activity(classUid: number, activities: Activities, word: string): Classification {
  const activityId = Object.hasOwn(activities, word) ? activities[word] : undefined;
  if (activityId !== undefined) return { classUid, activityId };
  return { classUid, activityId: 99, activityName: word.slice(0, 1).toUpperCase() + word.slice(1) };
}

function httpActivity(event: ExchangeEvent): Classification {
  const activityId = httpMethod(event.method);
  return {
    classUid: OCSF_CLASS.httpActivity,
    ...(activityId === undefined ? { activityId: 99, activityName: event.method } : { activityId }),
  };
}

/** Activity id of a method that OCSF names; undefined for others. */
export function httpMethod(method: string): number | undefined {
  return Object.hasOwn(HTTP, method) ? HTTP[method] : undefined;
}

function networkActivity({ protocol, decision, bytes_in, bytes_out }: DecisionEvent): Classification {
  // a refused query is a query
  if (protocol === "dns") return { classUid: OCSF_CLASS.dnsActivity, activityId: 1 };
  const hasTraffic = bytes_in !== undefined || bytes_out !== undefined;
  return { classUid: OCSF_CLASS.networkActivity, activityId: decision === "deny" ? 5 : hasTraffic ? 6 : 1 };
}
