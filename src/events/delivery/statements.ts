import type { NewEvent } from "../../schema/event.ts";
import type { Event } from "../../schema/event.ts";
import { SYSTEM } from "../audit-log-event.ts";
import type { SinkSpec } from "./sink-spec.ts";

type About = Pick<SinkSpec, "name" | "kind">;

const FINDINGS = ["delivery_failing", "delivery_paused", "delivery_rejected"] as const;

/** What the log says about a delivery. */
export function failing(about: About, tries: number, reason: string): NewEvent {
  return finding("delivery_failing", "medium", `${titleOf(about)}: ${tries} tries in a row failed: ${reason}`);
}

export function paused(about: About, reason: string): NewEvent {
  return finding(
    "delivery_paused",
    "high",
    `${titleOf(about)} is paused until the configuration is loaded again or it is resumed: ${reason}`,
  );
}

export function rejected(about: About, ids: readonly string[], reason: string): NewEvent {
  const named = `${ids.slice(0, 10).join(", ")}${ids.length > 10 ? ` and ${ids.length - 10} more` : ""}`;
  return finding(
    "delivery_rejected",
    "medium",
    `${titleOf(about)}: ${ids.length === 1 ? "1 event was" : `${ids.length} events were`} put among the dead letters (${named}): ${reason}`,
  );
}

export function recovered({ kind, name }: About, sinceMs: number): NewEvent {
  return change({ kind, name }, "update", `delivers again after ${Math.round(sinceMs / 1000)} s`);
}

export function change({ kind, name }: About, operation: "update" | "delete", reason: string): NewEvent {
  return { type: "admin.change", actor: SYSTEM, outcome: "info", resource_type: kind, resource_id: nameOf(name), operation, reason };
}

/** As its owner calls it; hooks and streams may have the same name, so a hook's sink has a prefix. */
function nameOf(sink: string): string {
  return sink.replace(/^hook@/, "");
}

function titleOf({ kind, name }: About): string {
  return `${kind} ${nameOf(name)}`;
}

/** A statement about a rejected statement would be rejected as well, for ever. */
export function isAboutDelivery(event: Event): boolean {
  return event.type === "security.finding" && (FINDINGS as readonly string[]).includes(event.finding);
}

function finding(name: (typeof FINDINGS)[number], severity: "medium" | "high", reason: string): NewEvent {
  return { type: "security.finding", actor: SYSTEM, outcome: "error", finding: name, severity, reason };
}
