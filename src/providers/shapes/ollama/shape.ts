import { asCount, firstCount, usageOf } from "../fields.ts";
import { shapeOf } from "../table-reader.ts";

/**
 * Ollama's own API: NDJSON that streams unless the request says `"stream":false`, counts on the last line. A count that is absent
 * is unknown, not zero: a prompt that lies in the cache in full is reported that way (ollama#2068, #3427).
 */
export const ollama = shapeOf({
  id: "ollama",
  request: { model: "model", stream: "stream", "options.num_predict": "maxOutputTokens" },
  streamsByDefault: true,
  response: {
    fields: {
      prompt_eval_count: ["prompt_eval_count"],
      prompt_eval_cached_count: ["prompt_eval_cached_count"],
      eval_count: ["eval_count"],
    },
    model: ["model"],
    finish: ["done"],
    error: ["error"],
    text: ["message.content", "message.thinking", "response", "thinking"],
  },
  fields: [],
  toUsage: (fields, { operation }) =>
    usageOf({
      input: asCount(fields["prompt_eval_count"]),
      output: firstCount(fields["eval_count"]) ?? (operation === "embeddings" ? 0 : null),
      cacheRead: asCount(fields["prompt_eval_cached_count"]),
    }),
});
