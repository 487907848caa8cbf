import type { Event } from "../schema/event.ts";
import type { Durability } from "./log.ts";

/** The class of an event: what the gateway lets pass many times a second is `fast`, everything else waits for the disk. */
export function durabilityOf(event: Pick<Event, "type" | "outcome"> & { readonly decision?: "allow" | "deny" }): Durability {
  switch (event.type) {
    case "egress.exchange":
    case "egress.decision":
    case "llm.call":
      return event.decision === "deny" || event.outcome === "deny" ? "durable" : "fast";
    case "sandbox.operation":
    case "sandbox.exec":
    case "sandbox.workspace":
    case "auth.attempt":
    case "admin.change":
    case "security.finding":
    case "pool.change":
    case "audit.log":
      return "durable";
    default: {
      const never: never = event.type;
      return never;
    }
  }
}
