import type { Usage } from "../../../schema/usage.ts";
import { ANTHROPIC_USAGE_FIELDS, anthropicUsage } from "../anthropic-messages/usage.ts";
import { CONVERSE_USAGE_FIELDS, converseUsage } from "../bedrock-converse/usage.ts";
import { asCount, usageOf, type Fields } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import type { ReaderOptions } from "../shape.ts";
import { shapeOf } from "../table-reader.ts";

/**
 * Bedrock InvokeModel: the body is the model's own, whichever that is. The last event of a stream repeats the figures as
 * `amazon-bedrock-invocationMetrics`, a plain answer has them in two headers; both leave the cache out, so that they count only
 * where the body itself says nothing (litellm#25517 added them).
 */
export const bedrockInvoke = shapeOf({
  id: "bedrock-invoke",
  request: {
    max_tokens: "maxOutputTokens",
    max_gen_len: "maxOutputTokens",
    "inferenceConfig.maxTokens": "maxOutputTokens",
    "inferenceConfig.max_new_tokens": "maxOutputTokens",
    "textGenerationConfig.maxTokenCount": "maxOutputTokens",
  },
  response: {
    usage: ["usage", "metadata.usage"],
    start: ["message.usage"],
    fields: {
      metrics: ["amazon-bedrock-invocationMetrics"],
      sonic: ["event.usageEvent"],
      prompt_token_count: ["prompt_token_count", "inputTextTokenCount"],
      generation_token_count: ["generation_token_count"],
    },
    model: ["model", "message.model"],
    id: ["id", "message.id"],
    finish: ["type"],
    error: ["error"],
    text: [
      "delta.text",
      "delta.partial_json",
      "delta.thinking",
      "contentBlockDelta.delta.text",
      "generation",
      "outputText",
      "choices.*.delta.content",
    ],
  },
  fields: [...new Set([...ANTHROPIC_USAGE_FIELDS, ...CONVERSE_USAGE_FIELDS, ...OPENAI_USAGE_FIELDS])],
  isOver: (finish) => finish === "message_stop",
  toUsage: (fields, options) => ownUsage(fields, options) ?? metricsOf(fields) ?? headersOf(options),
  withoutFields: headersOf,
});

/** What the model's own body says, told apart by the names of its fields. */
function ownUsage(fields: Fields, { provider }: ReaderOptions): Usage | null {
  if (fields["inputTokens"] !== undefined) return converseUsage(fields);
  if (fields["prompt_tokens"] !== undefined) return openaiUsage(fields, { provider, reasoningMayBeOutside: true });
  if (fields["input_tokens"] !== undefined || fields["output_tokens"] !== undefined) return anthropicUsage(fields, provider);
  const sonic = fields["sonic"];
  if (typeof sonic === "object" && sonic !== null) return sonicUsage(sonic as Fields);
  const input = asCount(fields["prompt_token_count"]);
  const output = asCount(fields["generation_token_count"]);
  return input !== null && output !== null ? usageOf({ input, output }) : null;
}

function sonicUsage(fields: Fields): Usage {
  return usageOf({
    input: asCount(fields["totalInputTokens"]),
    output: asCount(fields["totalOutputTokens"]),
    total: asCount(fields["totalTokens"]),
  });
}

function metricsOf(fields: Fields): Usage | null {
  const metrics = fields["metrics"];
  if (typeof metrics !== "object" || metrics === null) return null;
  const { inputTokenCount, outputTokenCount, cacheReadInputTokenCount, cacheWriteInputTokenCount } = metrics as Fields;
  return converseUsage({
    inputTokens: inputTokenCount,
    outputTokens: outputTokenCount,
    cacheReadInputTokenCount,
    cacheWriteInputTokenCount,
  });
}

function headersOf({ header }: ReaderOptions): Usage | null {
  const count = (name: string): number | null => {
    const text = header?.(name);
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
  };
  const input = count("x-amzn-bedrock-input-token-count");
  const output = count("x-amzn-bedrock-output-token-count");
  return input === null && output === null ? null : usageOf({ input, output });
}
