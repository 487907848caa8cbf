import { shapeOf } from "../table-reader.ts";
import { CONVERSE_USAGE_FIELDS, converseUsage } from "./usage.ts";

/** Bedrock Converse: the model stands in the path; a stream ends with a `metadata` event that holds the usage. */
export const bedrockConverse = shapeOf({
  id: "bedrock-converse",
  request: { "inferenceConfig.maxTokens": "maxOutputTokens", "serviceTier.type": "serviceTier" },
  response: {
    usage: ["usage"],
    tier: ["serviceTier.type"],
    text: ["delta.text", "delta.toolUse.input", "delta.reasoningContent.text"],
  },
  // behind messageStop
  usageEnds: true,
  fields: CONVERSE_USAGE_FIELDS,
  toUsage: converseUsage,
});
