import { z } from "zod";
import { doctorReport, statusReport } from "../../schema/api.ts";
import { type Route, route } from "../route.ts";

export const systemRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/health",
      tag: "System",
      summary: "Whether the server answers",
      open: true,
      answer: { kind: "json", schema: z.literal("ok") },
    },
    {},
    () => Promise.resolve("ok"),
  ),
  route(
    {
      method: "get",
      path: "/metrics",
      tag: "System",
      summary: "Metrics in the Prometheus text format",
      answer: { kind: "text", contentType: "text/plain" },
    },
    {},
    async ({ app }) => new Response(await app.metrics.text(), { headers: { "content-type": app.metrics.contentType } }),
  ),
  route(
    {
      method: "get",
      path: "/status",
      tag: "System",
      summary: "Version, uptime, backends, counts",
      answer: { kind: "json", schema: statusReport },
    },
    {},
    ({ app }) => app.status(),
  ),
  route(
    {
      method: "get",
      path: "/doctor",
      tag: "System",
      summary: "What this machine can do, with remedies for what it cannot",
      answer: { kind: "json", schema: doctorReport },
    },
    {},
    ({ app, signal }) => app.doctor(signal),
  ),
  route(
    { method: "get", path: "/openapi.json", tag: "System", summary: "This API as an OpenAPI 3.1 document", answer: { kind: "document" } },
    {},
    ({ document }) => Promise.resolve(Response.json(document())),
  ),
];
