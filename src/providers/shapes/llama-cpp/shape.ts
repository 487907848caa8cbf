import { asCount, usageOf } from "../fields.ts";
import { shapeOf } from "../table-reader.ts";

/**
 * llama.cpp's own completion and infill: the whole answer is one object, in a stream the last event (`stop`). `tokens_evaluated` is the
 * whole prompt, `tokens_cached` is not a part of it (what the slot holds at the end); how much was cached stands in `timings`.
 */
export const llamaCpp = shapeOf({
  id: "llama-cpp",
  request: { model: "model", stream: "stream", n_predict: "maxOutputTokens", max_tokens: "maxOutputTokens", n: "choices" },
  response: {
    fields: {
      input: ["tokens_evaluated"],
      output: ["tokens_predicted"],
      cached: ["timings.cache_n"],
    },
    model: ["model"],
    finish: ["stop"],
    error: ["error"],
    text: ["content"],
  },
  fields: [],
  toUsage: (fields) => {
    const [input, output] = [asCount(fields["input"]), asCount(fields["output"])];
    return input === null && output === null ? null : usageOf({ input, output, cacheRead: asCount(fields["cached"]) });
  },
});
