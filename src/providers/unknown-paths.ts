/** What a call is named that goes to a model host and to none of its known paths. */
export const UNRECOGNISED = "unrecognised";

/** Methods that can make a model work; the others read, or delete. */
const GENERATING: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/**
 * Paths of model hosts that are asked with POST and generate nothing: files, sign-in, what clients say about themselves, cancelling,
 * the care of an own server's models. Compared without case, on the canonical path.
 */
const QUIET: readonly RegExp[] = [
  /\/files(?:$|[/:])/,
  /\/uploads(?:\/|$)/,
  /^\/upload\//,
  /(?:\/|:)cancel$/,
  /\/oauth2?\//,
  // OpenAI's: a container for turns; its calls are responses
  /\/v1\/conversations(?:\/[^/]+(?:\/items)?)?$/,
  /\/organization\//,
  /\/feedback$/,
  // Claude Code about itself
  /^\/api\/(?:event_logging|claude_code|claude_cli|oauth|eval|hello)(?:\/|$)/,
  // OpenRouter: keys of its own
  /^\/api\/v1\/(?:auth\/keys|keys)(?:\/|$)/,
  // Ollama, vLLM, llama.cpp, LM Studio
  /\/api\/(?:show|pull|push|create|copy|blobs\/[^/]+)$/,
  /\/(?:tokenize|detokenize|apply-template|load_lora_adapter|unload_lora_adapter)$/,
  /\/slots\/\d+$/,
  /^\/api\/v1\/models\/(?:load|unload|download)$/,
  // xAI and Cohere
  /\/tokenize-text$/,
  /\/check-api-key$/,
  /\/v1\/datasets$/,
  // Copilot: which model it would choose, and GitHub's tools
  /^\/models\/session(?:\/|$)/,
  /^\/mcp(?:\/|$)/,
];

/**
 * May this request make a model work although its path is none that we know? When in doubt, yes: a path that comes with the provider's
 * next release must not be free of budgets until ours.
 * @param below where calls stand on a host that serves other things too; null: nowhere that we could tell
 * @param quiet paths of the provider that generate nothing
 */
export function mayGenerate(
  request: { readonly kind: string; readonly path: string },
  below: string | null | undefined,
  quiet: readonly RegExp[] = [],
): boolean {
  if (below === null || !(GENERATING.has(request.kind) || request.kind === "HANDSHAKE")) return false;
  const path = request.path.toLowerCase();
  if (below !== undefined && !path.startsWith(below)) return false;
  return ![...QUIET, ...quiet].some((pattern) => pattern.test(path));
}
