import { openaiChat } from "./openai-chat.ts";
import { BadRequest } from "./respond.ts";
import { isObject, type Json, type Piece, type Reply, type Shape, type Turn } from "./shape.ts";

/** Chat as others speak it: like OpenAI, but usage stands in the last chunk with a choice, whether it was asked for or not. */
function like(
  provider: Shape["provider"],
  withUsage: (chunk: Json, usage: Json) => Json,
  check: (body: Json) => void = () => undefined,
): Shape {
  return {
    ...openaiChat,
    provider,
    read: (body, target) => {
      check(body);
      return openaiChat.read(body, target);
    },
    stream: (turn, reply) => pieces(turn, reply, withUsage),
  };
}

function pieces(turn: Turn, reply: Reply, withUsage: (chunk: Json, usage: Json) => Json): readonly Piece[] {
  const whole = openaiChat.stream({ ...turn, usageAsked: false }, reply);
  const { usage } = openaiChat.json(turn, reply) as { readonly usage: Json };
  return whole.map((piece): Piece => {
    if (!piece.bytes.includes('"finish_reason":"')) return piece;
    const chunk: unknown = JSON.parse(piece.bytes.slice("data: ".length));
    if (!isObject(chunk)) throw new Error("a chunk is an object");
    return { bytes: `data: ${JSON.stringify(withUsage(chunk, usage))}\n\n`, reports: true };
  });
}

/** Groq puts the usage of a stream into a field of its own. */
export const groqChat: Shape = like("groq", (chunk, usage) => ({
  ...chunk,
  x_groq: { id: "req_stand_in", usage: { queue_time: 0.01, ...usage } },
}));

export const togetherChat: Shape = like("together", (chunk, usage) => ({ ...chunk, usage }));

/** Mistral refuses fields that it does not know, `stream_options` among them. */
export const mistralChat: Shape = like(
  "mistral",
  (chunk, usage) => ({ ...chunk, usage }),
  (body) => {
    if (body["stream_options"] !== undefined) throw new BadRequest("extra_forbidden: body.stream_options", { status: 422 });
  },
);
