import { compilePaths } from "../../json/paths.ts";
import { ReaderSession } from "../../websocket/reader-session.ts";
import type { SocketShape } from "../../websocket/session.ts";
import { anthropicMessages } from "./shape.ts";
import { responsePaths } from "../slots.ts";

/** Messages over a WebSocket (gh-aw reports it of Claude Code): requests as text messages, the events of the SSE stream back. */
export const messagesSocket: SocketShape = {
  client: compilePaths([
    { path: "model", slot: "model", action: "value" },
    { path: "max_tokens", slot: "maxOutputTokens", action: "value" },
    { path: "service_tier", slot: "tier", action: "value" },
  ]),
  server: responsePaths(
    {
      start: ["message.usage"],
      usage: ["usage"],
      model: ["model", "message.model"],
      id: ["id", "message.id"],
      error: ["error"],
      type: ["type"],
    },
    ["delta.text", "delta.partial_json", "delta.thinking"],
  ),
  open: (options) =>
    new ReaderSession(anthropicMessages, options, {
      begins: (message) => message.get("model") !== undefined,
      ends: (message) => message.get("type") === "message_stop" || message.get("type") === "error",
    }),
};
