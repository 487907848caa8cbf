import { anthropicMessages } from "./anthropic-messages.ts";
import { cohereChat } from "./cohere-chat.ts";
import { googleGenerateContent } from "./google-generate-content.ts";
import { openaiChat } from "./openai-chat.ts";
import { openaiResponses } from "./openai-responses.ts";
import type { Shape } from "./shape.ts";

/** The hosts that the stand-in answers for, in the order of the table above it. */
export const STAND_IN_HOSTS = ["api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com", "api.cohere.com"] as const;

const ROUTES: readonly { readonly path: RegExp; readonly shape: Shape }[] = [
  { path: /^\/v1\/chat\/completions$/, shape: openaiChat },
  // Codex with a ChatGPT login has a place of its own
  { path: /^\/(v1|backend-api\/codex)\/responses$/, shape: openaiResponses },
  { path: /^\/v1\/messages$/, shape: anthropicMessages },
  { path: /^\/(v1|v1beta)\/models\/[^/:]+:(generateContent|streamGenerateContent)$/, shape: googleGenerateContent },
  { path: /^\/v2\/chat$/, shape: cohereChat },
];

/** The format that a path belongs to; each has paths of its own, so the host need not be asked. */
export function shapeFor(path: string): Shape | undefined {
  return ROUTES.find((route) => route.path.test(path))?.shape;
}
