import { PROVIDER_IDS } from "./provider-ids.ts";

/** Hosts of providers whose API has one place for everybody. The others (Azure, Bedrock, one's own servers) are named by host. */
export const PROVIDER_HOSTS: Readonly<Record<string, readonly string[]>> = {
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
  cerebras: ["api.cerebras.ai"],
  moonshot: ["api.moonshot.ai", "api.moonshot.cn"],
};

/** The hosts that a key is put into requests to; empty for a target that is neither host nor provider with one place. */
export function hostsOfTarget(target: string): readonly string[] {
  if (Object.hasOwn(PROVIDER_HOSTS, target)) return PROVIDER_HOSTS[target] ?? [];
  if ((PROVIDER_IDS as readonly string[]).includes(target)) return [];
  return /^(?:\*\.)?(?=.{1,253}$)(?:[a-z0-9_-]+\.)+[a-z0-9-]+$/i.test(target) ? [target.toLowerCase()] : [];
}
