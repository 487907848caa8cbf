import { redactArgv } from "../../events/redact.ts";
import type { NewEvent } from "../../schema/event.ts";

/** An event as it may be kept: command lines are the one place where callers' own text may hold keys. */
export function redactEvent(event: NewEvent): NewEvent {
  return event.type === "sandbox.exec" ? { ...event, command: redactArgv(event.command) } : event;
}
