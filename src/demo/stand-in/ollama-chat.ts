import { openaiChat, openaiError } from "./openai-chat.ts";
import { cut, type Figures, type Json, type Reply, type Shape, type Turn } from "./shape.ts";

/** `POST /api/chat`: lines of JSON, and a stream unless `stream` says no */
export const ollamaChat: Shape = {
  provider: "ollama",
  contentType: { json: "application/json; charset=utf-8", stream: "application/x-ndjson" },
  caches: false,
  reasons: false,

  read: (body, target) => ({ ...openaiChat.read(body, target), streaming: body["stream"] !== false }),

  json: (turn, reply) => line(turn, reply, { message: { role: "assistant", content: reply.text }, ...over(reply.figures) }),

  stream(turn, reply) {
    const message = (content: string): Json => ({ message: { role: "assistant", content } });
    return [
      ...cut(reply.text).map((piece) => ({ bytes: `${JSON.stringify(line(turn, reply, { ...message(piece), done: false }))}\n` })),
      { bytes: `${JSON.stringify(line(turn, reply, { ...message(""), ...over(reply.figures) }))}\n`, reports: true },
    ];
  },

  reported: ({ input, output }) => ({
    input,
    output,
    total: null,
    cacheRead: null,
    cacheWrite: null,
    reasoning: null,
    billedInput: null,
    billedOutput: null,
  }),

  error: (status, message) => ({ error: message, ...openaiError(status, message) }),
};

function line(turn: Turn, reply: Reply, rest: Json): Json {
  return { model: turn.model, created_at: new Date(reply.createdAt * 1000).toISOString(), ...rest };
}

function over({ input, output }: Figures): Json {
  const took = { total_duration: 5_000_000, load_duration: 1_000_000, prompt_eval_duration: 1_000_000, eval_duration: 3_000_000 };
  return { done: true, done_reason: "stop", ...took, prompt_eval_count: input, eval_count: output };
}
