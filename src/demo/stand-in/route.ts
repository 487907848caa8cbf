import { anthropicMessages } from "./anthropic-messages.ts";
import { cohereChat } from "./cohere-chat.ts";
import { googleGenerateContent } from "./google-generate-content.ts";
import { ollamaChat } from "./ollama-chat.ts";
import { openaiChat } from "./openai-chat.ts";
import { openaiEmbeddings } from "./openai-embeddings.ts";
import { groqChat, mistralChat, togetherChat } from "./openai-like.ts";
import { openaiResponses } from "./openai-responses.ts";
import type { Shape } from "./shape.ts";

/** The hosts that the stand-in answers for. */
export const STAND_IN_HOSTS = [
  "api.openai.com",
  "api.anthropic.com",
  "generativelanguage.googleapis.com",
  "api.cohere.com",
  "api.groq.com",
  "api.mistral.ai",
  "api.together.ai",
] as const;

/** `host`: only there, since others have the same path; the first that fits answers */
const ROUTES: readonly { readonly path: RegExp; readonly host?: string; readonly shape: Shape }[] = [
  { path: /^\/v1\/chat\/completions$/, host: "api.mistral.ai", shape: mistralChat },
  { path: /^\/v1\/chat\/completions$/, host: "api.together.ai", shape: togetherChat },
  { path: /^\/v1\/chat\/completions$/, shape: openaiChat },
  { path: /^\/openai\/v1\/chat\/completions$/, shape: groqChat },
  { path: /^\/v1\/embeddings$/, shape: openaiEmbeddings },
  { path: /^\/v1\/responses$/, shape: openaiResponses },
  { path: /^\/v1\/messages$/, shape: anthropicMessages },
  { path: /^\/(v1|v1beta)\/models\/[^/:]+:(generateContent|streamGenerateContent)$/, shape: googleGenerateContent },
  { path: /^\/v2\/chat$/, shape: cohereChat },
  { path: /^\/api\/chat$/, shape: ollamaChat },
];

/** The format that is spoken at a path. */
export function shapeFor(path: string, host: string): Shape | undefined {
  return ROUTES.find((route) => route.path.test(path) && (route.host === undefined || route.host === host))?.shape;
}
