import { z } from "zod";
import { AppError } from "../../base/error.ts";
import { parseDuration } from "../../base/duration.ts";
import type { WorkspaceOutcome } from "../../app/facade.ts";
import { createSandboxRequest, extendRequest, extendResult, sandboxInfo, sandboxName } from "../../schema/api.ts";
import { event } from "../../schema/event.ts";
import { pageOf, pageQuery } from "../paging.ts";
import { type Route, route } from "../route.ts";

const byName = z.strictObject({ name: sandboxName });
const tag = "Sandboxes";
const text = { kind: "json", schema: z.string() } as const;
const one = { kind: "json", schema: sandboxInfo } as const;

/** Keys that the SDK and later versions know. They are answered by name instead of being taken for misspelt. */
const LATER_KEYS = ["source_url", "source_ref", "volumes", "ports", "init_script"] as const;

const createBody = z.preprocess((body) => {
  const later = typeof body === "object" && body !== null ? LATER_KEYS.find((key) => Object.hasOwn(body, key)) : undefined;
  if (later !== undefined)
    throw new AppError("NOT_IMPLEMENTED", `body.${later}: not available in this version`, { hint: `leave out ${later}` });
  return body;
}, createSandboxRequest);

export const sandboxRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/sandboxes",
      tag,
      summary: "List sandboxes",
      answer: { kind: "json", schema: z.array(sandboxInfo), paged: true },
    },
    { query: z.strictObject({ label: z.string().max(512).optional(), ...pageQuery }) },
    async ({ app, query }) => {
      const found = await app.sandboxes.list(query.label === undefined ? {} : { label: query.label });
      return pageOf(found, query, (sandbox) => sandbox.name);
    },
  ),
  route(
    {
      method: "post",
      path: "/sandboxes",
      tag,
      summary: "Create and start a sandbox",
      status: 201,
      answer: one,
      errors: [
        "CONFLICT",
        "POLICY_DENIED",
        "LIMIT_EXCEEDED",
        "NOT_IMPLEMENTED",
        "BACKEND_UNAVAILABLE",
        "SANDBOX_START_FAILED",
        "UNSUPPORTED",
      ],
    },
    { body: createBody },
    ({ app, caller, body, signal }) => app.sandboxes.create(caller, body, { signal }),
  ),
  route(
    { method: "get", path: "/sandboxes/by-uuid/{uuid}", tag, summary: "Get a sandbox by its uuid", answer: one, errors: ["NOT_FOUND"] },
    { params: z.strictObject({ uuid: z.uuid() }) },
    ({ app, params }) => app.sandboxes.getByUuid(params.uuid),
  ),
  route(
    { method: "get", path: "/sandboxes/{name}", tag, summary: "Get a sandbox", answer: one, errors: ["NOT_FOUND"] },
    { params: byName },
    ({ app, params }) => app.sandboxes.get(params.name),
  ),
  route(
    { method: "delete", path: "/sandboxes/{name}", tag, summary: "Remove a sandbox and its files", answer: text, errors: ["NOT_FOUND"] },
    { params: byName },
    async ({ app, caller, params }) => {
      const workspace = await app.sandboxes.remove(caller, params.name);
      return `sandbox ${params.name} removed${aboutWorkspace(workspace)}`;
    },
  ),
  route(
    {
      method: "post",
      path: "/sandboxes/{name}/start",
      tag,
      summary: "Start a stopped sandbox",
      answer: text,
      errors: ["NOT_FOUND", "CONFLICT", "SANDBOX_START_FAILED"],
    },
    { params: byName },
    async ({ app, caller, params, signal }) => {
      await app.sandboxes.start(caller, params.name, { signal });
      return `sandbox ${params.name} started`;
    },
  ),
  route(
    {
      method: "post",
      path: "/sandboxes/{name}/stop",
      tag,
      summary: "Stop a sandbox; home and workspace are kept",
      answer: text,
      errors: ["NOT_FOUND", "CONFLICT"],
    },
    { params: byName },
    async ({ app, caller, params }) => {
      const workspace = await app.sandboxes.stop(caller, params.name);
      return `sandbox ${params.name} stopped${aboutWorkspace(workspace)}`;
    },
  ),
  route(
    {
      method: "post",
      path: "/sandboxes/{name}/extend",
      tag,
      summary: "Let a sandbox live longer",
      answer: { kind: "json", schema: extendResult },
      errors: ["NOT_FOUND"],
    },
    { params: byName, body: extendRequest },
    async ({ app, caller, params, body }) => {
      const byMs = parseDuration(body.by);
      if (byMs === 0) throw new AppError("VALIDATION", "body.by: longer than 0 is expected");
      const { expires_at } = await app.sandboxes.extend(caller, params.name, byMs);
      return expires_at === undefined ? {} : { expires_at };
    },
  ),
  route(
    {
      method: "get",
      path: "/sandboxes/{name}/logs",
      tag,
      summary: "Events of a sandbox, oldest first",
      answer: { kind: "json", schema: z.array(event) },
      errors: ["NOT_FOUND"],
    },
    { params: byName, query: z.strictObject({ last: z.coerce.number().int().min(1).max(10_000).prefault(1_000) }) },
    ({ app, params, query }) => app.events.tail({ last: query.last, sandbox: params.name }),
  ),
];

/** What a caller has to know of a copied workspace whose sandbox is over: where its changes are. */
function aboutWorkspace({ created, modified, deleted, applied, conflict, keptAt }: WorkspaceOutcome): string {
  const changes = `${created} created, ${modified} modified, ${deleted} deleted`;
  if (conflict !== undefined) return `; ${conflict} (${changes}); the copy is kept at ${keptAt}`;
  if (created + modified + deleted === 0) return "";
  if (applied) return `; workspace changes written back: ${changes}`;
  return `; its workspace changes (${changes}) were not written back, the copy is kept at ${keptAt}`;
}
