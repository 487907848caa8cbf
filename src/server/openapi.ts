import { OpenAPIHono, z } from "@hono/zod-openapi";
import { ERRORS, type ErrorCode } from "../base/error.ts";
import { failure } from "../schema/api.ts";
import { type Route } from "./route.ts";

/** codes that any route may answer */
const COMMON_ERRORS: readonly ErrorCode[] = ["VALIDATION", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL"];
const COMMON_POST_ERRORS: readonly ErrorCode[] = ["TOO_LARGE", "CONFLICT"];

/** The OpenAPI 3.1 document of these routes. */
export function openApiDocument(routes: readonly Route[], version: string): ReturnType<OpenAPIHono["getOpenAPI31Document"]> {
  const api = new OpenAPIHono();
  api.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  const failureSchema = api.openAPIRegistry.register("Failure", failure);
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
        ...(body === undefined ? {} : { body: { required: true, content: { "application/json": { schema: body } } } }),
        ...(route.method === "post" ? { headers: z.object({ "Idempotency-Key": z.string().max(255).optional() }) } : {}),
      },
      responses: { ...successOf(route), ...failuresOf(route, failureSchema) },
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

function successOf(route: Route): Responses {
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
                data: answer.schema,
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
