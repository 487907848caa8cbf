import type { Event, LlmEvent, ExchangeEvent } from "../schema/event.ts";
import { count, dollars, printable } from "./output.ts";

/** One event as one line for people: time, sandbox, what happened. */
export function eventLine(event: Event): string {
  return printable(`${event.timestamp}  ${(event.sandbox ?? "-").padEnd(18)}  ${describe(event)}`);
}

function describe(event: Event): string {
  switch (event.type) {
    case "sandbox.operation":
      return `${event.operation} ${event.outcome === "error" ? "failed" : "sandbox"} (${event.backend})${because(event.reason)}`;
    case "sandbox.exec":
      return event.operation === "launch"
        ? `exec ${event.command.join(" ")}`
        : `exit ${event.signal ?? event.exit_code ?? "?"}${because(event.reason)}`;
    case "sandbox.workspace":
      return `workspace ${event.operation}: ${event.created} created, ${event.modified} modified, ${event.deleted} deleted${because(event.reason)}`;
    case "egress.exchange":
      return `${verdictOf(event)} ${event.method} ${event.url} → ${event.status ?? "no answer"} [${event.rule}]${event.decision === "deny" || event.observed === true ? because(event.reason) : ""}`;
    case "egress.decision":
      return `${event.decision.toUpperCase()} ${event.protocol} ${event.host ?? event.address ?? ""}${event.port === undefined ? "" : `:${event.port}`} [${event.rule}]${because(event.reason)}`;
    case "llm.call":
      return `model ${event.provider}/${event.model} ${count(event.input_tokens)} in, ${count(event.output_tokens)} out, ${dollars(event.cost_usd)} (${event.call_outcome}${doubts(event)})`;
    case "auth.attempt":
      return `auth ${event.outcome} ${event.actor.user_id} by ${event.method}${event.actor.ip_address === undefined ? "" : ` from ${event.actor.ip_address}`}${(event.count ?? 1) > 1 ? ` (${event.count} requests)` : ""}${because(event.reason)}`;
    case "admin.change":
      return `${event.operation} ${event.resource_type} ${event.resource_id}${event.outcome === "error" ? " failed" : ""}${event.actor.kind === "system" ? "" : ` by ${event.actor.user_id}`}${because(event.reason)}`;
    case "security.finding":
      return `finding ${event.finding} (${event.severity})${because(event.reason)}`;
    case "pool.change":
      return `pool ${event.pool} ${event.operation}${because(event.reason)}`;
    case "audit.log":
      return `audit log ${event.operation}${because(event.reason)}`;
    default:
      return event satisfies never;
  }
}

/** What a model call's request hid from whoever read it. */
function doubts({ request_ambiguous, request_unparsable }: LlmEvent): string {
  return `${request_ambiguous === true ? ", ambiguous request" : ""}${request_unparsable === true ? ", unparsable request" : ""}`;
}

function verdictOf({ decision, observed }: ExchangeEvent): string {
  return observed === true ? "OBSERVE" : decision.toUpperCase();
}

function because(reason: string | undefined): string {
  return reason === undefined || reason === "" ? "" : `: ${reason}`;
}
