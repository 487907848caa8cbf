import { z } from "zod";
import { hook, hookDeliveries, hookInfo, hookName, hookReplayRequest, hookTestResult } from "../../schema/hook.ts";
import { replayAnswer, replayRequest } from "../replay-request.ts";
import { type Route, route } from "../route.ts";

const tag = "Hooks";
const byName = z.strictObject({ name: hookName });

export const hookRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/proxy/hooks",
      tag,
      summary: "Hooks of the configuration and of the API, with their deliveries",
      answer: { kind: "json", schema: z.array(hookInfo) },
    },
    {},
    ({ app }) => app.hooks.list(),
  ),
  route(
    {
      method: "post",
      path: "/proxy/hooks",
      tag,
      summary: "Register a hook, or replace one of the same name",
      description: "It holds for every sandbox, those that run and those made later. Hooks of the file are read-only.",
      answer: { kind: "json", schema: hookInfo },
    },
    { body: hook },
    ({ app, caller, body }) => app.hooks.put(caller, body),
  ),
  route(
    {
      method: "delete",
      path: "/proxy/hooks/{name}",
      tag,
      summary: "Remove a hook",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND", "CONFLICT"],
    },
    { params: byName },
    async ({ app, caller, params }) => {
      await app.hooks.remove(caller, params.name);
      return `hook ${params.name} removed`;
    },
  ),
  route(
    {
      method: "post",
      path: "/proxy/hooks/{name}/test",
      tag,
      summary: "Send a sample to a hook and say what it answered",
      answer: { kind: "json", schema: hookTestResult },
      errors: ["NOT_FOUND"],
    },
    { params: byName },
    ({ app, caller, params }) => app.hooks.test(caller, params.name),
  ),
  route(
    {
      method: "post",
      path: "/proxy/hooks/{name}/replay",
      tag,
      summary: "Send events to a hook again, or end its pause",
      description: "`since`: everything from that time on; `dead`: the dead letters; `purge`: removes them; none: it is tried at once.",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND"],
    },
    { params: byName, body: hookReplayRequest.prefault({}) },
    async ({ app, caller, params, body, clock }) => {
      const request = replayRequest(body, clock.now());
      await app.hooks.replay(caller, params.name, request);
      return replayAnswer(params.name, request);
    },
  ),
  route(
    {
      method: "get",
      path: "/proxy/hooks/{name}/deliveries",
      tag,
      summary: "State of a hook's deliveries, and its dead letters, oldest first",
      answer: { kind: "json", schema: hookDeliveries },
      errors: ["NOT_FOUND"],
    },
    { params: byName, query: z.strictObject({ last: z.coerce.number().int().min(1).max(10_000).prefault(100) }) },
    ({ app, params, query }) => app.hooks.deliveries(params.name, query.last),
  ),
];
