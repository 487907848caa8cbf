import { contentText, cut, event, objects, text, weigh, type Figures, type Shape } from "./shape.ts";

/** `POST /v2/chat` */
export const cohereChat: Shape = {
  provider: "cohere",
  contentType: { json: "application/json", stream: "text/event-stream" },
  caches: false,
  reasons: false,

  read(body) {
    const messages = objects(body["messages"]);
    return {
      model: text(body["model"]),
      streaming: body["stream"] === true,
      prompt: messages
        .filter((message) => message["role"] === "user")
        .map((message) => contentText(message["content"]))
        .join("\n"),
      weight: weigh(body["messages"], body["tools"]),
      // no agent that we run speaks this format: it answers with text only
      tools: [],
      hasToolResult: false,
      usageAsked: true,
      framing: "events",
    };
  },

  json: (_turn, reply) => ({
    id: reply.id,
    finish_reason: "COMPLETE",
    message: { role: "assistant", content: [{ type: "text", text: reply.text }] },
    usage: usage(reply.figures),
  }),

  stream(_turn, reply) {
    return [
      { bytes: event("message-start", { id: reply.id, type: "message-start", delta: { message: { role: "assistant", content: [] } } }) },
      {
        bytes: event("content-start", { type: "content-start", index: 0, delta: { message: { content: { type: "text", text: "" } } } }),
      },
      ...cut(reply.text).map((piece) => ({
        bytes: event("content-delta", { type: "content-delta", index: 0, delta: { message: { content: { text: piece } } } }),
      })),
      { bytes: event("content-end", { type: "content-end", index: 0 }) },
      {
        bytes: event("message-end", { type: "message-end", delta: { finish_reason: "COMPLETE", usage: usage(reply.figures) } }),
        reports: true,
      },
    ];
  },

  reported(figures) {
    const { input, output, cacheRead } = figures;
    return { input, output, total: null, cacheRead, cacheWrite: null, reasoning: null, ...billed(figures) };
  },

  error: (_status, message) => ({ message }),
};

/** What is billed is less than what was read: the provider's own preamble is free. */
function billed({ input, output }: Figures): { billedInput: number; billedOutput: number } {
  return { billedInput: Math.ceil(input * 0.8), billedOutput: Math.max(1, output - 2) };
}

function usage(figures: Figures): object {
  const { billedInput, billedOutput } = billed(figures);
  return {
    billed_units: { input_tokens: billedInput, output_tokens: billedOutput },
    tokens: { input_tokens: figures.input, output_tokens: figures.output },
    cached_tokens: 0,
  };
}
