import { z } from "zod";
import { PROVIDER_IDS } from "./provider-ids.ts";

/** Keys of the organisation: who they are for, and the secret that holds each. */

/** Hosts of providers whose API has one place for everybody. The others (Azure, Bedrock, one's own servers) are named by host. */
const PROVIDER_HOSTS: Readonly<Record<string, readonly string[]>> = {
  openai: ["api.openai.com"],
  anthropic: ["api.anthropic.com"],
  google: ["generativelanguage.googleapis.com"],
  deepseek: ["api.deepseek.com"],
  groq: ["api.groq.com"],
  mistral: ["api.mistral.ai"],
  cohere: ["api.cohere.com", "api.cohere.ai"],
  together: ["api.together.xyz", "api.together.ai"],
  fireworks: ["api.fireworks.ai"],
  xai: ["api.x.ai"],
  openrouter: ["openrouter.ai"],
};

/** The hosts that a key is put into requests to; empty for a target that is neither host nor provider with one place. */
export function hostsOfTarget(target: string): readonly string[] {
  if (Object.hasOwn(PROVIDER_HOSTS, target)) return PROVIDER_HOSTS[target] ?? [];
  if ((PROVIDER_IDS as readonly string[]).includes(target)) return [];
  return /^(?:\*\.)?(?=.{1,253}$)(?:[a-z0-9_-]+\.)+[a-z0-9-]+$/i.test(target) ? [target.toLowerCase()] : [];
}

export const llmKeyTarget = z
  .string()
  .max(260)
  .refine((target) => hostsOfTarget(target).length > 0, `is neither a host nor one of ${Object.keys(PROVIDER_HOSTS).join(", ")}`)
  .meta({ title: "provider or host" });

export const vaultKeyName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "is not the name of a secret: write letters, digits and underscores")
  .meta({ title: "name of a secret" });

/** Body of `PUT /llm/keys/{target}`; a value is kept under the name. */
export const llmKeyRequest = z.strictObject({ vault_key_name: vaultKeyName, value: z.string().min(1).max(65_536).optional() });
export type LlmKeyRequest = z.output<typeof llmKeyRequest>;

export const llmKeyInfo = z.strictObject({
  /** provider or host it was set for */
  target: z.string(),
  hosts: z.array(z.string()),
  vault_key_name: z.string(),
  source: z.enum(["file", "api"]),
  /** the secret has a value; without one nothing is put into requests */
  available: z.boolean(),
});
export type LlmKeyInfo = z.infer<typeof llmKeyInfo>;
