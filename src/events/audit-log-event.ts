import type { Actor, AuditLogEvent, NewEvent } from "../schema/event.ts";

export const SYSTEM: Actor = { kind: "system", user_id: "agentkernel" };

type Fields = Partial<Pick<AuditLogEvent, "segment" | "first_seq" | "last_seq" | "bytes" | "reason">>;

/** What the log says about itself. */
export function auditLogEvent(operation: AuditLogEvent["operation"], fields: Fields = {}): Extract<NewEvent, { type: "audit.log" }> {
  const isBad = operation === "gap" || operation === "tampered";
  return { type: "audit.log", actor: SYSTEM, outcome: isBad ? "error" : "info", operation, ...fields };
}
