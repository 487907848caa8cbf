import { googleGenerateContent } from "../google-generate-content/shape.ts";
import type { Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/** Gemini CLI signed in with Google: generateContent's request and answer, each in an envelope, with the model beside the request. */
export const googleCodeAssist: Shape = {
  id: "google-code-assist",
  request: {
    model: "model",
    "request.generationConfig.maxOutputTokens": "maxOutputTokens",
    "request.generationConfig.candidateCount": "choices",
    "request.generation_config.max_output_tokens": "maxOutputTokens",
    "request.generation_config.candidate_count": "choices",
  },
  response: responsePaths(
    {
      usage: ["response.usageMetadata"],
      model: ["response.modelVersion"],
      id: ["response.responseId"],
      finish: ["response.candidates.*.finishReason", "response.promptFeedback.blockReason"],
      error: ["error"],
    },
    ["response.candidates.*.content.parts.*.text"],
    { unwrapsArray: true },
  ),
  read: (options) => googleGenerateContent.read(options),
};
