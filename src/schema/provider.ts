import { z } from "zod";

/** Short provider ids, used in every record, table and metric (product.md, Exact meanings). */
export const PROVIDER_IDS = [
  "openai", "anthropic", "google", "deepseek", "groq", "mistral", "cohere", "together", "fireworks",
  "xai", "openrouter", "azure", "bedrock", "vertex", "copilot", "ollama", "custom",
] as const;

export const providerId = z.enum(PROVIDER_IDS);
export type ProviderId = z.infer<typeof providerId>;

/** How usage became known: the provider said it, said part of it, we estimated it, or nobody knows. */
export const usageSource = z.enum(["reported", "partial", "estimated", "none"]);
export type UsageSource = z.infer<typeof usageSource>;

/** How a model call ended. */
export const callOutcome = z.enum(["ok", "client_error", "rate_limited", "server_error", "stream_error", "aborted", "denied"]);
export type CallOutcome = z.infer<typeof callOutcome>;
