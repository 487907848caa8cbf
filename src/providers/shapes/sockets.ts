import type { SocketShape } from "../websocket/session.ts";
import type { ShapeId } from "../types.ts";
import { messagesSocket } from "./anthropic-messages/socket.ts";
import { googleLiveSocket } from "./google-live/socket.ts";
import { liveSocket } from "./openai-live/socket.ts";
import { transcriptionSocket } from "./openai-media/socket.ts";
import { realtimeSocket } from "./openai-realtime/socket.ts";
import { responsesSocket } from "./openai-responses/socket.ts";

/** How each shape is spoken over a WebSocket, where it is. */
export const SOCKETS: Readonly<Partial<Record<ShapeId, SocketShape>>> = {
  "openai-responses": responsesSocket,
  "openai-realtime": realtimeSocket,
  "openai-live": liveSocket,
  "openai-media": transcriptionSocket,
  "anthropic-messages": messagesSocket,
  "google-live": googleLiveSocket,
};
