import type { Event } from "../../schema/event.ts";
import type { Hook, HookEvent, HookFilter } from "../../schema/hook.ts";

/** What a filter looks at; of an event, or of a request that waits for a decision. */
export type Filterable = {
  readonly sandbox?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly host?: string | undefined;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  readonly decision?: string | undefined;
  readonly status?: number | null | undefined;
};

/** Whether a hook is for an event. */
export function isFor(hook: Pick<Hook, "event" | "filter">, event: Event): boolean {
  return isKind(hook.event, event) && fits(hook.filter, event);
}

function isKind(kind: HookEvent, event: Event): boolean {
  const isRequest = event.type === "egress.decision" && event.phase === "request";
  switch (kind) {
    case "on_request":
      return isRequest;
    case "on_response":
      return event.type === "egress.exchange" || event.type === "llm.call";
    case "on_deny":
      // an exchange that is denied has its own event
      return !isRequest && (event.type === "egress.exchange" || event.type === "egress.decision") && event.decision === "deny";
    case "on_llm":
      return event.type === "llm.call";
    case "on_budget":
      // a call that a budget denied is on_deny's
      return event.type === "security.finding" && event.budget !== undefined;
    default:
      return kind satisfies never;
  }
}

/** Whether what is not known yet of a request, its status, could still make the filter fit. */
export function mayFit(filter: HookFilter | undefined, event: Filterable): boolean {
  const { status: _later, ...now } = filter ?? {};
  return fits(now, event);
}

export function fits(filter: HookFilter | undefined, event: Filterable): boolean {
  if (filter === undefined) return true;
  const { sandbox, label, host, provider, model, decision, status } = filter;
  if (sandbox !== undefined && event.sandbox !== sandbox) return false;
  if (label !== undefined && !hasLabel(event.labels, label)) return false;
  if (host !== undefined && !isHost(host.toLowerCase(), event.host)) return false;
  if (provider !== undefined && event.provider !== provider) return false;
  if (model !== undefined && (event.model === undefined || !globOf(model).test(event.model))) return false;
  if (decision !== undefined && event.decision !== decision) return false;
  return status === undefined || (event.status !== undefined && classOf(event.status) === status);
}

function hasLabel(labels: Filterable["labels"], label: string): boolean {
  const at = label.indexOf("=");
  const key = label.slice(0, at);
  return labels !== undefined && Object.hasOwn(labels, key) && labels[key] === label.slice(at + 1);
}

function isHost(pattern: string, host: string | undefined): boolean {
  if (host === undefined) return false;
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) : host === pattern;
}

function globOf(pattern: string): RegExp {
  return new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
      .join(".*")}$`,
    "i",
  );
}

function classOf(status: number | null): string {
  return status === null ? "none" : `${Math.floor(status / 100)}xx`;
}
