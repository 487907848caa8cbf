import { z } from "zod";
import { hostsOfTarget, PROVIDER_HOSTS } from "./llm-key-hosts.ts";

/** Keys of the organisation: who they are for, and the secret that holds each. */

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
