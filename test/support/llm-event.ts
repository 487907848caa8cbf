import type { LlmEvent } from "../../src/schema/event.ts";

/** A finished, metered, priced model call; `fields` change it. */
export function llmCall(fields: Partial<LlmEvent> = {}): LlmEvent {
  return {
    id: "evt_1", schema_version: 1, timestamp: "2026-11-20T10:00:00.000Z", type: "llm.call", outcome: "permit",
    actor: { kind: "sandbox", user_id: "sandbox" }, sandbox: "web", sandbox_uuid: "u1",
    provider: "openai", host: "api.openai.com", method: "POST", path: "/v1/chat/completions", model: "gpt-5", response_model: "gpt-5-2026", operation: "chat",
    status: 200, latency_ms: 100, ttft_ms: 20, streaming: false,
    input_tokens: 100, output_tokens: 20, total_tokens: 120, cache_read_tokens: 40, cache_write_tokens: null, reasoning_tokens: 5,
    usage_source: "reported", call_outcome: "ok", cost_usd: 0.00125, response_id: "resp_1", secret_injected: true, key_source: "org", decision: "allow",
    ...fields,
  };
}
