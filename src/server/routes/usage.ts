import { z } from "zod";
import { AppError } from "../../base/error.ts";
import { parseSince } from "../../base/duration.ts";
import { sandboxName, usageEntry, usageGroup } from "../../schema/api.ts";
import { llmEvent } from "../../schema/event.ts";
import { streamEvents } from "../event-feed.ts";
import { type RouteContext, type Route, route } from "../route.ts";

const tag = "Model calls";
const byName = z.strictObject({ sandbox: sandboxName });
const flag = z.enum(["true", "false", "1", "0"]).optional();

const usageQuery = {
  /** `24h`, or a time */
  since: z.string().max(64).optional(),
  /** earlier sandboxes of the same name too */
  all: flag,
};

export const usageRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/llm/usage",
      tag,
      summary: "Usage per sandbox, or, with `by`, in rows over all of them",
      answer: { kind: "json", schema: z.union([z.record(z.string(), z.array(usageEntry)), z.array(usageGroup)]) },
    },
    { query: z.strictObject({ ...usageQuery, by: z.enum(["model", "provider", "sandbox", "day", "label"]).optional() }) },
    ({ app, clock, query }) => {
      const filter = queryOf(query, clock.now());
      return query.by === undefined ? app.usage.bySandbox(filter) : app.usage.grouped({ ...filter, by: query.by });
    },
  ),
  route(
    {
      method: "get",
      path: "/llm/usage/{sandbox}",
      tag,
      summary: "Usage of one sandbox; empty for one that made no calls or never was",
      answer: { kind: "json", schema: z.array(usageEntry) },
    },
    { params: byName, query: z.strictObject(usageQuery) },
    async ({ app, clock, params, query }) => {
      const usage = await app.usage.bySandbox({ ...queryOf(query, clock.now()), sandbox: params.sandbox });
      return Object.hasOwn(usage, params.sandbox) ? usage[params.sandbox] : [];
    },
  ),
  route(
    {
      method: "delete",
      path: "/llm/usage/{sandbox}",
      tag,
      summary: "Clear the usage of one sandbox",
      answer: { kind: "json", schema: z.string() },
    },
    { params: byName },
    async ({ app, caller, params }) => {
      await app.usage.clear(caller, params.sandbox);
      return `usage of ${params.sandbox} cleared`;
    },
  ),
  route(
    {
      method: "get",
      path: "/llm/events",
      tag,
      summary: "Model calls, oldest first; live with `Accept: text/event-stream`",
      answer: {
        kind: "json",
        schema: z.array(llmEvent),
        stream: "one event per model call, `event: llm.call`, resumable with `Last-Event-ID`",
      },
    },
    {
      query: z.strictObject({
        sandbox: sandboxName.optional(),
        since: z.string().max(64).optional(),
        limit: z.coerce.number().int().min(1).max(10_000).optional(),
      }),
    },
    async (call) => {
      const { sandbox, since, limit } = call.query;
      if (wantsStream(call)) {
        if (since !== undefined || limit !== undefined) {
          throw new AppError("VALIDATION", "query: since and limit belong to a list, not to a stream", {
            hint: "resume a stream with Last-Event-ID",
          });
        }
        return streamEvents(call, (event) => event.type === "llm.call" && (sandbox === undefined || event.sandbox === sandbox));
      }
      return call.app.usage.events({
        ...(sandbox === undefined ? {} : { sandbox }),
        ...(since === undefined ? {} : { sinceMs: parseSince(since, call.clock.now()) }),
        limit: limit ?? 100,
      });
    },
  ),
];

function queryOf(
  query: { readonly since?: string | undefined; readonly all?: string | undefined },
  nowMs: number,
): { sinceMs?: number; all?: boolean } {
  return {
    ...(query.since === undefined ? {} : { sinceMs: parseSince(query.since, nowMs) }),
    ...(query.all === undefined ? {} : { all: query.all === "true" || query.all === "1" }),
  };
}

export function wantsStream(call: Pick<RouteContext, "headers">): boolean {
  return (call.headers.accept ?? "").split(",").some((type) => type.trim().split(";")[0]?.trim().toLowerCase() === "text/event-stream");
}
