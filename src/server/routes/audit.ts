import { z } from "zod";
import { AppError } from "../../base/error.ts";
import { parseSince } from "../../base/duration.ts";
import { auditReplayRequest, auditReport, auditVerifyRequest, chainHead, deadLetter, exportFormat } from "../../schema/delivery.ts";
import { NATIVE_OCSF_VERSION, ocsfVersion } from "../../schema/ocsf-version.ts";
import { replayAnswer, replayRequest } from "../replay-request.ts";
import { type Route, route } from "../route.ts";

const tag = "Audit";
const encoder = new TextEncoder();
/** bytes of lines that are put together before they are sent */
const CHUNK_BYTES = 64 * 1024;

export const auditRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/audit/head",
      tag,
      summary: "Last events of the audit chains, newest chain first",
      description: "`chain:seq:hash` of each, kept elsewhere, is an anchor for `POST /audit/verify`.",
      answer: { kind: "json", schema: z.array(chainHead) },
    },
    { query: z.strictObject({ last: z.coerce.number().int().min(1).max(10_000).prefault(100) }) },
    ({ app, query }) => app.audit.heads(query.last),
  ),
  route(
    {
      method: "get",
      path: "/audit/export",
      tag,
      summary: "All events since a time as JSON lines, chain by chain",
      description: "`format`: `event` as in the log, `native` audit records, or `ocsf` of the release `ocsf_version`.",
      answer: { kind: "text", contentType: "application/x-ndjson" },
    },
    {
      query: z.strictObject({
        since: z.string().max(64).optional(),
        format: exportFormat.prefault("event"),
        ocsf_version: ocsfVersion.optional(),
      }),
    },
    async ({ app, caller, query, clock, signal }) => {
      const sinceMs = query.since === undefined ? 0 : parseSince(query.since, clock.now());
      if (query.format !== "ocsf" && query.ocsf_version !== undefined)
        throw new AppError("VALIDATION", "query: ocsf_version is for format=ocsf", { hint: "leave it out, or add format=ocsf" });
      const format = query.format === "ocsf" ? (query.ocsf_version ?? NATIVE_OCSF_VERSION) : query.format;
      const body = linesOf(await app.audit.export(caller, { sinceMs, format }), signal);
      return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
    },
  ),
  route(
    {
      method: "post",
      path: "/audit/verify",
      tag,
      summary: "Checks every chain: its hashes, signatures and anchors",
      answer: { kind: "json", schema: auditReport },
    },
    { body: auditVerifyRequest.prefault({}) },
    ({ app, body }) => app.audit.verify(body),
  ),
  route(
    {
      method: "post",
      path: "/audit/replay",
      tag,
      summary: "Sends events to a stream again, or ends its pause",
      description: "`since`: everything from that time on; `dead`: the dead letters; `purge`: removes them; none: it is tried at once.",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND"],
    },
    { body: auditReplayRequest },
    async ({ app, caller, body, clock }) => {
      const request = replayRequest(body, clock.now());
      await app.delivery.request(caller, body.sink, request);
      return replayAnswer(body.sink, request);
    },
  ),
  route(
    {
      method: "get",
      path: "/audit/dead",
      tag,
      summary: "Dead letters of a stream, oldest first",
      answer: { kind: "json", schema: z.array(deadLetter) },
      errors: ["NOT_FOUND"],
    },
    { query: z.strictObject({ sink: z.string().min(1).max(80), last: z.coerce.number().int().min(1).max(10_000).prefault(100) }) },
    ({ app, query }) => app.delivery.deadLetters(query.sink, query.last),
  ),
];

/** As fast as the client reads. */
function linesOf(events: AsyncGenerator<object>, signal: AbortSignal): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: async (controller) => {
      let text = "";
      while (text.length < CHUNK_BYTES) {
        const { value, done } = signal.aborted ? { value: undefined, done: true } : await events.next();
        if (done === true || value === undefined) {
          if (text !== "") controller.enqueue(encoder.encode(text));
          controller.close();
          return;
        }
        text += `${JSON.stringify(value)}\n`;
      }
      controller.enqueue(encoder.encode(text));
    },
    cancel: async () => {
      await events.return(undefined);
    },
  });
}
