import { matchesModel, modelNames } from "./model-glob.ts";

/**
 * The longest answer that a model gives when its request does not bound it, in tokens; the first that fits. The price table does not
 * know it. The figures are `limit.output` of models.dev, as of October 2026, the largest of each family where a pattern stands for
 * several, since a reservation must not be too small. It is settled with what was used, so a figure that is out of date costs room in a
 * budget, and never money.
 */
const MODEL_OUTPUT: readonly (readonly [glob: string, tokens: number])[] = [
  ["gpt-6*", 128_000],
  ["gpt-5-pro*", 272_000],
  ["gpt-5*", 128_000],
  ["gpt-4.1*", 32_768],
  ["gpt-4o*", 16_384],
  ["gpt-4-turbo*", 4_096],
  ["gpt-3.5*", 4_096],
  ["gpt-oss*", 65_536],
  ["o1*", 100_000],
  ["o3*", 100_000],
  ["o4*", 100_000],
  // Anthropic's own API wants the maximum in the request; Bedrock's Converse does not
  ["*claude-3-7*", 64_000],
  ["*claude-3-5*", 8_192],
  ["*claude-3-*", 4_096],
  ["*claude-opus-4-0*", 32_000],
  ["*claude-opus-4-1*", 32_000],
  ["*claude-opus-4-2025*", 32_000],
  ["*claude-opus-4-5*", 64_000],
  ["*claude-sonnet-4*", 64_000],
  ["*claude-haiku-4*", 64_000],
  ["*claude-*", 128_000],
  ["gemini-2.0*", 8_192],
  ["gemini-2.5*", 65_536],
  ["gemini-3*", 65_536],
  ["gemini-*-latest", 65_536],
  ["deepseek-r1*", 32_768],
  ["deepseek-*", 384_000],
  ["grok-build*", 256_000],
  ["grok-4.5*", 500_000],
  ["grok-4.6*", 500_000],
  ["grok-4.7*", 500_000],
  ["grok-4*", 30_000],
  ["kimi-*", 262_144],
  ["magistral-medium*", 16_384],
  ["mistral-large-2411*", 16_384],
  ["mistral-small-2506*", 16_384],
  ["codestral*", 4_096],
  ["mistral-*", 262_144],
  ["devstral-*", 262_144],
  ["command-a-plus*", 64_000],
  ["command-a-reasoning*", 32_000],
  ["command-*", 8_000],
  ["sonar-deep-research*", 32_768],
  ["sonar*", 8_192],
];

/** Undefined: it is not known. */
export function modelOutput(model: string): number | undefined {
  const names = modelNames(model);
  return MODEL_OUTPUT.find(([glob]) => names.some((name) => matchesModel(glob, name)))?.[1];
}
