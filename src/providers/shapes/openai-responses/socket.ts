import { compilePaths, type PathSpec } from "../../json/paths.ts";
import { ReaderSession } from "../../websocket/reader-session.ts";
import type { SocketShape } from "../../websocket/session.ts";
import { openaiResponses } from "./shape.ts";

const OVER: ReadonlySet<unknown> = new Set(["response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"]);

const client = (path: string, slot: string): PathSpec => ({ path, slot, action: "value" });

/** Responses over a WebSocket (Codex, the SDK's ResponsesWS): `response.create` from the client, the events of the SSE stream back. */
export const responsesSocket: SocketShape = {
  client: compilePaths([
    client("type", "type"),
    client("model", "model"),
    client("response.model", "model"),
    client("max_output_tokens", "maxOutputTokens"),
    client("response.max_output_tokens", "maxOutputTokens"),
    client("service_tier", "tier"),
    client("previous_response_id", "previous"),
    client("response.previous_response_id", "previous"),
    client("conversation", "conversation"),
  ]),
  server: openaiResponses.response,
  open: (options) =>
    new ReaderSession(openaiResponses, options, {
      begins: (message) => message.get("type") === "response.create",
      ends: (message) => OVER.has(message.get("type")),
    }),
};
