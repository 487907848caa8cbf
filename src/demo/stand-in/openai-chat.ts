import {
  contentText,
  cut,
  isObject,
  objects,
  propertyNames,
  text,
  weigh,
  type Figures,
  type Json,
  type Reply,
  type Shape,
  type Turn,
} from "./shape.ts";

/** `POST /v1/chat/completions` */
export const openaiChat: Shape = {
  provider: "openai",
  contentType: { json: "application/json", stream: "text/event-stream; charset=utf-8" },
  caches: true,
  reasons: true,

  read(body) {
    const messages = objects(body["messages"]);
    const format = body["response_format"];
    const options = body["stream_options"];
    return {
      model: text(body["model"]),
      streaming: body["stream"] === true,
      prompt: messages
        .filter((message) => message["role"] === "user")
        .map((message) => contentText(message["content"]))
        .join("\n"),
      weight: weigh(body["messages"], body["tools"]),
      tools: objects(body["tools"]).flatMap((tool) =>
        isObject(tool["function"])
          ? [{ name: text(tool["function"]["name"]), properties: propertyNames(tool["function"]["parameters"]) }]
          : [],
      ),
      hasToolResult: messages.some((message) => message["role"] === "tool"),
      ...(isObject(format) && text(format["type"]).startsWith("json") && { json: { schema: schemaOf(format) } }),
      usageAsked: isObject(options) && options["include_usage"] === true,
      framing: "events",
    };
  },

  json(turn, reply) {
    const call = toolCalls(reply);
    return {
      id: `chatcmpl-${reply.id}`,
      object: "chat.completion",
      created: reply.createdAt,
      model: turn.model,
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: call === undefined ? reply.text : null, refusal: null, ...(call && { tool_calls: call }) },
          logprobs: null,
          finish_reason: call === undefined ? "stop" : "tool_calls",
        },
      ],
      usage: usage(reply.figures),
      service_tier: "default",
    };
  },

  stream(turn, reply) {
    const chunk = (delta: Json, finish: string | null = null) => ({
      bytes: data(turn, reply, { choices: [{ index: 0, delta, finish_reason: finish }], ...(turn.usageAsked && { usage: null }) }),
    });
    const calls = toolCalls(reply)?.map((call, index) => ({ index, ...call }));
    const pieces = [
      chunk({ role: "assistant", content: calls === undefined ? "" : null, ...(calls && { tool_calls: calls }) }),
      ...(calls === undefined ? cut(reply.text).map((content) => chunk({ content })) : []),
      chunk({}, calls === undefined ? "stop" : "tool_calls"),
    ];
    const last = { bytes: data(turn, reply, { choices: [], usage: usage(reply.figures) }), reports: true as const };
    return [...pieces, ...(turn.usageAsked ? [last] : []), { bytes: "data: [DONE]\n\n" }];
  },

  reported({ input, output, cacheRead, cacheWrite, reasoning }) {
    return { input, output, total: input + output, cacheRead, cacheWrite, reasoning, billedInput: null, billedOutput: null };
  },

  error: openaiError,
};

function schemaOf(format: Json): unknown {
  return isObject(format["json_schema"]) ? format["json_schema"]["schema"] : undefined;
}

export function openaiError(status: number, message: string): object {
  return {
    error: {
      message,
      type: status === 404 ? "not_found_error" : "invalid_request_error",
      param: null,
      code: status === 401 ? "invalid_api_key" : null,
    },
  };
}

function toolCalls(reply: Reply): readonly Json[] | undefined {
  if (reply.toolCall === undefined) return undefined;
  const { id, name } = reply.toolCall;
  return [{ id, type: "function", function: { name, arguments: JSON.stringify(reply.toolCall.arguments) } }];
}

function data(turn: Turn, reply: Reply, rest: Json): string {
  const head = { id: `chatcmpl-${reply.id}`, object: "chat.completion.chunk", created: reply.createdAt, model: turn.model };
  return `data: ${JSON.stringify({ ...head, service_tier: "default", ...rest })}\n\n`;
}

function usage({ input, output, cacheRead, cacheWrite, reasoning }: Figures): object {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cacheRead, cache_write_tokens: cacheWrite, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
