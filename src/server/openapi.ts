import { OpenAPIHono, z } from "@hono/zod-openapi";
import { ERRORS, type ErrorCode } from "../base/error.ts";
import {
  batchRunRequest,
  batchRunResult,
  createSandboxRequest,
  detachedExec,
  detachRequest,
  doctorReport,
  execRequestBody,
  failure,
  policyCheck,
  runOutput,
  runRequest,
  sandboxInfo,
  secretInfo,
  statusReport,
  usageEntry,
  usageGroup,
} from "../schema/api.ts";
import { event, llmEvent } from "../schema/event.ts";
import { type Route } from "./route.ts";

/** codes that any route may answer */
const COMMON_ERRORS: readonly ErrorCode[] = ["VALIDATION", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL"];
const COMMON_POST_ERRORS: readonly ErrorCode[] = ["TOO_LARGE", "CONFLICT"];

/** Schemas that stand once, under a name, in the document. */
const NAMED: Readonly<Record<string, z.ZodType>> = {
  BatchRunRequest: batchRunRequest,
  BatchRunResult: batchRunResult,
  CreateSandboxRequest: createSandboxRequest,
  DetachedExec: detachedExec,
  DetachRequest: detachRequest,
  DoctorReport: doctorReport,
  Event: event,
  ExecRequest: execRequestBody,
  LlmEvent: llmEvent,
  PolicyCheck: policyCheck,
  RunOutput: runOutput,
  RunRequest: runRequest,
  Sandbox: sandboxInfo,
  Secret: secretInfo,
  StatusReport: statusReport,
  UsageEntry: usageEntry,
  UsageGroup: usageGroup,
};

/** The library adds its method to schemas when they are made: one that was made before the library was loaded has to be made again. */
function describable<T extends z.ZodType>(schema: T): T {
  return "openapi" in schema ? schema : z.clone(schema);
}

/** The OpenAPI 3.1 document of these routes. */
export function openApiDocument(routes: readonly Route[], version: string): ReturnType<OpenAPIHono["getOpenAPI31Document"]> {
  const api = new OpenAPIHono();
  api.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  const failureSchema = api.openAPIRegistry.register("Failure", describable(failure));
  const names = new Map(Object.entries(NAMED).map(([name, schema]) => [schema, api.openAPIRegistry.register(name, describable(schema))]));
  const named = (schema: z.ZodType): z.ZodType => {
    const found = names.get(schema);
    if (found !== undefined) return found;
    if (schema instanceof z.ZodArray) return z.array(named(schema.element as z.ZodType));
    // what prepares the input of a schema does not show in the document
    if (schema instanceof z.ZodPipe) return named(schema.out as z.ZodType);
    return schema;
  };
  for (const route of routes) {
    const { params, query, body } = route.inputs;
    api.openAPIRegistry.registerPath({
      method: route.method,
      path: route.path,
      tags: [route.tag],
      summary: route.summary,
      ...(route.description === undefined ? {} : { description: route.description }),
      security: route.open === true ? [] : [{ key: [] }],
      request: {
        ...(params === undefined ? {} : { params: params as z.ZodObject }),
        ...(query === undefined ? {} : { query: query as z.ZodObject }),
        ...(body === undefined ? {} : { body: { required: true, content: { "application/json": { schema: named(body) } } } }),
        ...(route.method === "post" ? { headers: z.object({ "Idempotency-Key": z.string().max(255).optional() }) } : {}),
      },
      responses: { ...successOf(route, named), ...failuresOf(route, failureSchema) },
    });
  }
  return api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "agentkernel",
      version,
      description: "Runs AI coding agents in isolated sandboxes and owns everything that leaves them.",
    },
    servers: [{ url: "http://127.0.0.1:18888" }],
  });
}

type Responses = Parameters<OpenAPIHono["openAPIRegistry"]["registerPath"]>[0]["responses"];

function successOf(route: Route, named: (schema: z.ZodType) => z.ZodType): Responses {
  const { answer } = route;
  switch (answer.kind) {
    case "json":
      return {
        [String(route.status ?? 200)]: {
          description: "Success",
          content: {
            "application/json": {
              schema: z.object({
                success: z.literal(true),
                data: named(answer.schema),
                ...(answer.paged === true ? { next_cursor: z.string().optional() } : {}),
              }),
            },
            ...(answer.stream === undefined ? {} : eventStream(answer.stream)),
          },
        },
      };
    case "text":
      return { "200": { description: "Success", content: { [answer.contentType]: { schema: z.string() } } } };
    case "stream":
      return { "200": { description: "Server-sent events", content: eventStream(answer.events) } };
    case "document":
      return {
        "200": {
          description: "The document itself, without an envelope",
          content: { "application/json": { schema: z.record(z.string(), z.unknown()) } },
        },
      };
    case "websocket":
      return { "101": { description: "Switching to WebSocket" } };
    default:
      return answer satisfies never;
  }
}

function eventStream(description: string): { "text/event-stream": { schema: z.ZodType } } {
  return { "text/event-stream": { schema: z.string().openapi({ description }) } };
}

/** One response per status, naming the codes behind it. */
function failuresOf(route: Route, schema: z.ZodType): Responses {
  const codes = new Set([...COMMON_ERRORS, ...(route.method === "post" ? COMMON_POST_ERRORS : []), ...(route.errors ?? [])]);
  if (route.open === true) codes.delete("UNAUTHENTICATED");
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) byStatus.set(ERRORS[code].status, [...(byStatus.get(ERRORS[code].status) ?? []), code]);
  const responses: Responses = {};
  for (const [status, group] of [...byStatus].sort(([a], [b]) => a - b)) {
    responses[String(status)] = {
      description: group.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join("; "),
      content: { "application/json": { schema } },
    };
  }
  return responses;
}
