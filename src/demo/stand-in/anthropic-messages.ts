import {
  contentText,
  cut,
  event,
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

/** `POST /v1/messages` */
export const anthropicMessages: Shape = {
  provider: "anthropic",
  contentType: { json: "application/json", stream: "text/event-stream; charset=utf-8" },
  caches: true,
  reasons: true,

  read(body) {
    const messages = objects(body["messages"]);
    return {
      model: text(body["model"]),
      streaming: body["stream"] === true,
      prompt: messages
        .filter((message) => message["role"] === "user")
        .map((message) => contentText(message["content"]))
        .join("\n"),
      weight: weigh(body["system"], body["messages"], body["tools"]),
      tools: objects(body["tools"]).map((tool) => ({ name: text(tool["name"]), properties: propertyNames(tool["input_schema"]) })),
      hasToolResult: messages.some((message) => objects(message["content"]).some((part) => part["type"] === "tool_result")),
      usageAsked: true,
      framing: "events",
    };
  },

  json: (turn, reply) => ({
    ...message(turn, reply),
    content: [block(reply)],
    stop_reason: stopReason(reply),
    usage: {
      ...usage(reply.figures),
      output_tokens: reply.figures.output,
      output_tokens_details: { thinking_tokens: reply.figures.reasoning },
    },
  }),

  stream(turn, reply) {
    const { figures } = reply;
    const start = reply.toolCall === undefined ? { type: "text", text: "" } : { ...block(reply), input: {} };
    const deltas =
      reply.toolCall === undefined
        ? cut(reply.text).map((piece) => ({ type: "text_delta", text: piece }))
        : cut(JSON.stringify(reply.toolCall.arguments), 24).map((piece) => ({ type: "input_json_delta", partial_json: piece }));
    // output_tokens of message_start is a placeholder; the figures of message_delta are the totals
    const opening = { ...message(turn, reply), content: [], stop_reason: null, usage: { ...usage(figures), output_tokens: 1 } };
    const closing = { ...usage(figures), output_tokens: figures.output, output_tokens_details: { thinking_tokens: figures.reasoning } };
    return [
      { bytes: event("message_start", { type: "message_start", message: opening }) },
      { bytes: event("content_block_start", { type: "content_block_start", index: 0, content_block: start }) },
      { bytes: event("ping", { type: "ping" }) },
      ...deltas.map((delta) => ({ bytes: event("content_block_delta", { type: "content_block_delta", index: 0, delta }) })),
      { bytes: event("content_block_stop", { type: "content_block_stop", index: 0 }) },
      {
        bytes: event("message_delta", {
          type: "message_delta",
          delta: { stop_reason: stopReason(reply), stop_sequence: null },
          usage: closing,
        }),
        reports: true,
      },
      { bytes: event("message_stop", { type: "message_stop" }) },
    ];
  },

  reported({ input, output, cacheRead, cacheWrite, reasoning }) {
    return { input, output, total: null, cacheRead, cacheWrite, reasoning, billedInput: null, billedOutput: null };
  },

  error(status, message) {
    const type = { 400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error" }[status] ?? "api_error";
    return { type: "error", error: { type, message } };
  },
};

function message(turn: Turn, reply: Reply): Json {
  return { id: `msg_${reply.id}`, type: "message", role: "assistant", model: turn.model, stop_sequence: null };
}

function block(reply: Reply): Json {
  if (reply.toolCall === undefined) return { type: "text", text: reply.text };
  const { id, name, arguments: input } = reply.toolCall;
  return { type: "tool_use", id: `toolu_${id}`, name, input };
}

function stopReason(reply: Reply): string {
  return reply.toolCall === undefined ? "end_turn" : "tool_use";
}

/** `input_tokens` leaves the cache out here, unlike everywhere else. */
function usage({ input, cacheRead, cacheWrite }: Figures): Json {
  return {
    input_tokens: input - cacheRead - cacheWrite,
    cache_creation_input_tokens: cacheWrite,
    cache_read_input_tokens: cacheRead,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite, ephemeral_1h_input_tokens: 0 },
    service_tier: "standard",
  };
}
