import type { Event } from "../../schema/event.ts";

/** What was done, to what. */
export type Subject = { readonly action: string; readonly resourceType: string; readonly resourceId: string };

const UNKNOWN = "unknown";

export function subjectOf(event: Event): Subject {
  const sandbox = event.sandbox_uuid ?? event.sandbox ?? UNKNOWN;
  switch (event.type) {
    case "sandbox.operation":
      return { action: `sandbox.${event.operation}`, resourceType: "sandbox", resourceId: sandbox };
    case "sandbox.exec":
      return { action: `exec.${event.operation}`, resourceType: "exec", resourceId: event.exec_id };
    case "sandbox.workspace":
      return { action: `workspace.${event.operation}`, resourceType: "workspace", resourceId: event.path };
    case "egress.exchange":
      return { action: "egress.request", resourceType: "url", resourceId: event.url };
    case "egress.decision":
      return {
        action: event.protocol === "dns" ? "egress.resolve" : "egress.connect",
        resourceType: "host",
        resourceId: event.host ?? event.address ?? UNKNOWN,
      };
    case "llm.call":
      return { action: "llm.call", resourceType: "model", resourceId: `${event.provider}/${event.model}` };
    case "auth.attempt":
      return { action: "auth.attempt", resourceType: "api", resourceId: event.path };
    case "admin.change":
      return { action: `${event.resource_type}.${event.operation}`, resourceType: event.resource_type, resourceId: event.resource_id };
    case "security.finding":
      return { action: "security.finding", resourceType: "sandbox", resourceId: sandbox };
    case "pool.change":
      return { action: `pool.${event.operation}`, resourceType: "pool", resourceId: event.pool };
    case "audit.log":
      return { action: `audit.${event.operation}`, resourceType: "audit_log", resourceId: event.segment ?? "audit" };
    default:
      return event satisfies never;
  }
}
