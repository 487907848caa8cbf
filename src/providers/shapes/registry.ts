import type { ShapeId } from "../types.ts";
import { anthropicMessages } from "./anthropic-messages/shape.ts";
import { cohere } from "./cohere/shape.ts";
import { googleGenerateContent } from "./google-generate-content/shape.ts";
import { openaiChat } from "./openai-chat/shape.ts";
import { openaiResponses } from "./openai-responses/shape.ts";
import type { Shape } from "./shape.ts";

/** Every wire format we read. A new one is a folder beside this file and a row here. */
export const SHAPES: Readonly<Record<ShapeId, Shape>> = {
  "openai-chat": openaiChat,
  "openai-responses": openaiResponses,
  "anthropic-messages": anthropicMessages,
  "google-generate-content": googleGenerateContent,
  cohere,
};
