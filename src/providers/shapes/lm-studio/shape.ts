import { asCount, usageOf } from "../fields.ts";
import { shapeOf } from "../table-reader.ts";

/** LM Studio's own chat: `stats` at the top, in a stream in the result of `chat.end`; output includes reasoning. */
export const lmStudio = shapeOf({
  id: "lm-studio",
  request: { model: "model", stream: "stream", max_output_tokens: "maxOutputTokens", previous_response_id: "previous" },
  response: {
    usage: ["stats", "result.stats"],
    model: ["model_instance_id", "result.model_instance_id"],
    id: ["response_id", "result.response_id"],
    error: ["error"],
    text: ["content"],
  },
  usageEnds: true,
  fields: ["input_tokens", "total_output_tokens", "reasoning_output_tokens"],
  toUsage: (fields) => {
    const [input, output] = [asCount(fields["input_tokens"]), asCount(fields["total_output_tokens"])];
    return input === null && output === null ? null : usageOf({ input, output, reasoning: asCount(fields["reasoning_output_tokens"]) });
  },
});
