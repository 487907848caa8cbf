import { z } from "zod";
import { parseSince } from "../../base/duration.ts";
import { sandboxName } from "../../schema/api.ts";
import { decisionEvent, event, type EventType, exchangeEvent } from "../../schema/event.ts";
import { streamEvents } from "../event-feed.ts";
import { type RouteContext, type Route, route } from "../route.ts";

const tag = "Events";
const tailQuery = z.strictObject({
  last: z.coerce.number().int().min(1).max(10_000).prefault(100),
  /** `24h`, or a time */
  since: z.string().max(64).optional(),
  sandbox: sandboxName.optional(),
});

export const eventRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/events",
      tag,
      summary: "Everything that happens, as it happens",
      answer: {
        kind: "stream",
        events:
          "each event under its `type`, with its `id`; resumable with `Last-Event-ID`; `gap` before the end when the client read too slowly",
      },
    },
    { query: z.strictObject({ sandbox: sandboxName.optional() }) },
    (call) => {
      const { sandbox } = call.query;
      return Promise.resolve(streamEvents(call, (one) => sandbox === undefined || one.sandbox === sandbox));
    },
  ),
  route(
    {
      method: "get",
      path: "/audit",
      tag,
      summary: "The newest events of the audit log, oldest first",
      answer: { kind: "json", schema: z.array(event) },
    },
    { query: tailQuery },
    (call) => tail(call, call.query),
  ),
  route(
    {
      method: "get",
      path: "/policy/log",
      tag: "Policy",
      summary: "The newest decisions of the gateway, oldest first",
      description: "`denied=true`: only what was denied, or would have been in observe mode.",
      answer: { kind: "json", schema: z.array(z.discriminatedUnion("type", [exchangeEvent, decisionEvent])) },
    },
    { query: tailQuery.extend({ denied: z.enum(["true", "false"]).optional() }) },
    (call) => tail(call, call.query, { types: ["egress.exchange", "egress.decision"], denied: call.query.denied === "true" }),
  ),
];

function tail(
  { app, clock }: RouteContext,
  query: z.output<typeof tailQuery>,
  more: { readonly types?: readonly EventType[]; readonly denied?: boolean } = {},
): ReturnType<typeof app.events.tail> {
  return app.events.tail({
    last: query.last,
    ...(query.since === undefined ? {} : { sinceMs: parseSince(query.since, clock.now()) }),
    ...(query.sandbox === undefined ? {} : { sandbox: query.sandbox }),
    ...more,
  });
}
