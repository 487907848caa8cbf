import type { LlmEvent } from "../../schema/event.ts";
import { httpMethod } from "./classify.ts";
import { sandboxEndpoint, sandboxResource } from "./common-parts.ts";
import { controlOf } from "./control.ts";
import { destinationOf, httpOf } from "./map-egress.ts";
import type { Mapped } from "./mapped.ts";
import { compact, compactOrNone } from "./value.ts";

/** `message_context.ai_role_id`: what a model answers is the assistant's. */
const ASSISTANT = 2;

export function mapLlm(event: LlmEvent): Mapped {
  const { provider, host, model, operation, status, call_outcome } = event;
  const service = { name: provider, uid: host };
  const hasFailed = call_outcome !== "ok";
  return {
    message: `model call ${event.decision === "deny" ? "denied" : call_outcome}: ${provider} ${model.slice(0, 256)}`,
    detail: hasFailed ? call_outcome : undefined,
    code: status,
    durationMs: event.latency_ms,
    profiles: ["ai_operation"],
    attributes: compact({
      src_endpoint: sandboxEndpoint(event),
      dst_endpoint: destinationOf(host, undefined, undefined),
      api: compact({
        operation,
        service,
        request: { uid: event.request_id ?? event.id },
        response: compactOrNone({ code: status, error: hasFailed ? call_outcome : undefined }),
      }),
      ...httpOf(event.method, host, event.path, status),
      resources: event.sandbox === undefined ? undefined : [{ ...sandboxResource(event, {}), role_id: 2 }],
      ai_model: compact({ name: model, ai_provider: provider, uid: event.response_model }),
      message_context: compact({
        uid: event.response_id,
        ai_role_id: ASSISTANT,
        service,
        application: event.sandbox === undefined ? undefined : compact({ name: event.sandbox, uid: event.sandbox_uuid, type: "sandbox" }),
        prompt_tokens: event.input_tokens,
        completion_tokens: event.output_tokens,
        total_tokens: event.total_tokens,
      }),
      ...controlOf(event),
    }),
    unmapped: {
      http_method: httpMethod(event.method) === undefined ? event.method : undefined,
      call_outcome,
      streaming: event.streaming,
      ttft_ms: event.ttft_ms,
      cost_usd: event.cost_usd,
      cache_read_tokens: event.cache_read_tokens,
      cache_write_tokens: event.cache_write_tokens,
      reasoning_tokens: event.reasoning_tokens,
      billed_input_tokens: event.billed_input_tokens,
      billed_output_tokens: event.billed_output_tokens,
      usage_source: event.usage_source,
      usage_missing: event.usage_missing,
      request_ambiguous: event.request_ambiguous,
      request_unparsable: event.request_unparsable,
      secret_injected: event.secret_injected,
      key_source: event.key_source,
    },
  };
}
