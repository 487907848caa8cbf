import type { Recognition, RequestFacts } from "./types.ts";

/**
 * The request body with `stream_options.include_usage` set to true, every other byte unchanged; null when it must stay as it is.
 * `body` is the decoded body (`decodeBody`): a request that was compressed is sent decoded after an injection.
 */
export function planUsageInjection(recognition: Recognition, facts: RequestFacts, body: Uint8Array): { readonly body: Buffer } | null {
  void [recognition, facts, body];
  return null;
}
