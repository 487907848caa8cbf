import {
  contentText,
  cut,
  event,
  isObject,
  objects,
  propertyNames,
  text,
  weigh,
  type Figures,
  type Json,
  type Piece,
  type Reply,
  type Shape,
  type Tool,
  type Turn,
} from "./shape.ts";
import { openaiError } from "./openai-chat.ts";

/** `POST /v1/responses` */
export const openaiResponses: Shape = {
  provider: "openai",
  contentType: { json: "application/json", stream: "text/event-stream; charset=utf-8" },
  caches: true,
  reasons: true,

  read(body) {
    const input = body["input"];
    const items = objects(input);
    const format = isObject(body["text"]) ? body["text"]["format"] : undefined;
    return {
      model: text(body["model"]),
      streaming: body["stream"] === true,
      prompt:
        typeof input === "string"
          ? input
          : items
              .filter((item) => item["role"] === "user")
              .map((item) => contentText(item["content"]))
              .join("\n"),
      weight: weigh(body["instructions"], input, body["tools"]),
      // Codex declares its tools in the conversation
      tools: [body, ...items.filter((item) => item["type"] === "additional_tools")].flatMap((holder) => readTools(holder["tools"])),
      hasToolResult: items.some((item) => text(item["type"]).endsWith("_call_output")),
      ...(isObject(format) && text(format["type"]).startsWith("json") && { json: { schema: format["schema"] } }),
      usageAsked: true,
      framing: "events",
    };
  },

  json: (turn, reply) => response(turn, reply, "completed"),

  stream(turn, reply) {
    const item = outputItem(reply, "completed");
    const started =
      reply.toolCall === undefined ? { ...item, status: "in_progress", content: [] } : { ...item, status: "in_progress", arguments: "" };
    const events: Json[] = [
      { type: "response.created", response: response(turn, reply, "in_progress") },
      { type: "response.in_progress", response: response(turn, reply, "in_progress") },
      { type: "response.output_item.added", output_index: 0, item: started },
      ...(reply.toolCall === undefined ? textEvents(reply) : callEvents(reply)),
      { type: "response.output_item.done", output_index: 0, item },
      { type: "response.completed", response: response(turn, reply, "completed") },
    ];
    return events.map((data, sequence): Piece => {
      const bytes = event(text(data["type"]), { ...data, sequence_number: sequence });
      return sequence === events.length - 1 ? { bytes, reports: true } : { bytes };
    });
  },

  reported({ input, output, cacheRead, cacheWrite, reasoning }) {
    return { input, output, total: input + output, cacheRead, cacheWrite, reasoning, billedInput: null, billedOutput: null };
  },

  error: openaiError,
};

function readTools(list: unknown, namespace?: string): readonly Tool[] {
  return objects(list).flatMap((tool): readonly Tool[] => {
    const name = text(tool["name"]);
    const inSpace = namespace === undefined ? {} : { namespace };
    if (tool["type"] === "namespace") return readTools(tool["tools"], name);
    if (tool["type"] === "custom") return [{ name, properties: [], takesText: true, ...inSpace }];
    return tool["type"] === "function" ? [{ name, properties: propertyNames(tool["parameters"]), ...inSpace }] : [];
  });
}

function textEvents(reply: Reply): readonly Json[] {
  const at = { item_id: itemId(reply), output_index: 0, content_index: 0 };
  const part = (whole: string): Json => ({ type: "output_text", text: whole, annotations: [], logprobs: [] });
  return [
    { type: "response.content_part.added", ...at, part: part("") },
    ...cut(reply.text).map((delta) => ({ type: "response.output_text.delta", ...at, delta, logprobs: [] })),
    { type: "response.output_text.done", ...at, text: reply.text, logprobs: [] },
    { type: "response.content_part.done", ...at, part: part(reply.text) },
  ];
}

function callEvents(reply: Reply): readonly Json[] {
  const input = reply.toolCall?.input;
  const at = { item_id: itemId(reply), output_index: 0 };
  const whole = input ?? JSON.stringify(reply.toolCall?.arguments ?? {});
  const kind = input === undefined ? "response.function_call_arguments" : "response.custom_tool_call_input";
  return [
    ...cut(whole, 24).map((delta) => ({ type: `${kind}.delta`, ...at, delta })),
    { type: `${kind}.done`, ...at, ...(input === undefined ? { arguments: whole } : { input: whole }) },
  ];
}

function itemId(reply: Reply): string {
  if (reply.toolCall === undefined) return `msg_${reply.id}`;
  return reply.toolCall.input === undefined ? `fc_${reply.id}` : `ctc_${reply.id}`;
}

function outputItem(reply: Reply, status: string): Json {
  const head = { id: itemId(reply), status };
  if (reply.toolCall !== undefined) {
    const { id, name, input, namespace } = reply.toolCall;
    const call = { ...head, name, call_id: id, ...(namespace === undefined ? {} : { namespace }) };
    if (input !== undefined) return { ...call, type: "custom_tool_call", input };
    return { ...call, type: "function_call", arguments: JSON.stringify(reply.toolCall.arguments) };
  }
  const content = [{ type: "output_text", text: reply.text, annotations: [], logprobs: [] }];
  return { ...head, type: "message", role: "assistant", content };
}

function response(turn: Turn, reply: Reply, status: "in_progress" | "completed"): Json {
  const done = status === "completed";
  return {
    id: `resp_${reply.id}`,
    object: "response",
    created_at: reply.createdAt,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    model: turn.model,
    output: done ? [outputItem(reply, "completed")] : [],
    parallel_tool_calls: true,
    tool_choice: "auto",
    tools: [],
    service_tier: "default",
    usage: done ? usage(reply.figures) : null,
  };
}

function usage({ input, output, cacheRead, cacheWrite, reasoning }: Figures): object {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cacheRead, cache_write_tokens: cacheWrite },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}
