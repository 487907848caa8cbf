import { openaiChat } from "./openai-chat.ts";
import { text, weigh, type Shape } from "./shape.ts";

/** `POST /v1/embeddings` */
export const openaiEmbeddings: Shape = {
  ...openaiChat,
  reasons: false,
  caches: false,

  read(body) {
    const input = Array.isArray(body["input"]) ? body["input"].map(String) : [text(body["input"])];
    return {
      model: text(body["model"]),
      streaming: false,
      prompt: input.join("\n"),
      weight: weigh(body["input"]),
      tools: [],
      hasToolResult: false,
      usageAsked: true,
      framing: "events",
    };
  },

  // clients ask for base64 and would take the numbers, too
  json: (turn, { figures: { input } }) => ({
    object: "list",
    data: [{ object: "embedding", index: 0, embedding: Buffer.from(new Float32Array([0.25, -0.5, 1]).buffer).toString("base64") }],
    model: turn.model,
    usage: { prompt_tokens: input, total_tokens: input },
  }),

  stream: () => [],

  reported: ({ input }) => ({
    input,
    output: 0,
    total: input,
    cacheRead: null,
    cacheWrite: null,
    reasoning: null,
    billedInput: null,
    billedOutput: null,
  }),
};
