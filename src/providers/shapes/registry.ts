import type { ShapeId } from "../types.ts";
import { anthropicBatchResults } from "./anthropic-batch-results/shape.ts";
import { anthropicMessages } from "./anthropic-messages/shape.ts";
import { anthropicSessions } from "./anthropic-sessions/shape.ts";
import { bedrockConverse } from "./bedrock-converse/shape.ts";
import { bedrockInvoke } from "./bedrock-invoke/shape.ts";
import { cohere } from "./cohere/shape.ts";
import { googleBatch } from "./google-batch/shape.ts";
import { googleCodeAssist } from "./google-code-assist/shape.ts";
import { googleGenerateContent } from "./google-generate-content/shape.ts";
import { googleInteractions } from "./google-interactions/shape.ts";
import { googlePredict } from "./google-predict/shape.ts";
import { llamaCpp } from "./llama-cpp/shape.ts";
import { lmStudio } from "./lm-studio/shape.ts";
import { mistralConversations } from "./mistral-conversations/shape.ts";
import { mistralOcr } from "./mistral-ocr/shape.ts";
import { ollama } from "./ollama/shape.ts";
import { openaiBatch } from "./openai-batch/shape.ts";
import { openaiChat } from "./openai-chat/shape.ts";
import { openaiMedia } from "./openai-media/shape.ts";
import { openaiResponses } from "./openai-responses/shape.ts";
import { openaiRuns } from "./openai-runs/shape.ts";
import type { Shape } from "./shape.ts";

/** Every wire format whose calls are one request and one response. A new one is a folder beside this file and a row here. */
export const SHAPES: Readonly<Record<Exclude<ShapeId, SocketOnlyShapeId>, Shape>> = {
  "openai-chat": openaiChat,
  "openai-responses": openaiResponses,
  "openai-media": openaiMedia,
  "openai-batch": openaiBatch,
  "openai-runs": openaiRuns,
  "anthropic-messages": anthropicMessages,
  "anthropic-batch-results": anthropicBatchResults,
  "anthropic-sessions": anthropicSessions,
  "google-generate-content": googleGenerateContent,
  "google-code-assist": googleCodeAssist,
  "google-interactions": googleInteractions,
  "google-predict": googlePredict,
  "google-batch": googleBatch,
  "mistral-conversations": mistralConversations,
  "mistral-ocr": mistralOcr,
  cohere,
  "bedrock-converse": bedrockConverse,
  "bedrock-invoke": bedrockInvoke,
  ollama,
  "llama-cpp": llamaCpp,
  "lm-studio": lmStudio,
};

/** Formats that exist in WebSocket frames only. */
export type SocketOnlyShapeId = "openai-realtime" | "openai-live" | "google-live";

/** The format whose calls say in their path what they go on from. */
export const CONTEXT_IN_PATH: ShapeId = "mistral-conversations";

/** May a call of this format go on from an answer or in a conversation that the provider keeps? */
export function keepsContext(id: ShapeId): boolean {
  if (id === CONTEXT_IN_PATH) return true;
  return Object.values(shapeFor(id).request).some((fact) => fact === "previous" || fact === "conversation");
}

/** A handshake of a socket-only format has bodies that say nothing: they are read as chat, which finds nothing in them. */
export function shapeFor(id: ShapeId): Shape {
  return id === "openai-realtime" || id === "openai-live" || id === "google-live" ? openaiChat : SHAPES[id];
}
