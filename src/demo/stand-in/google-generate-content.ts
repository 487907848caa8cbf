import { cut, isObject, objects, propertyNames, text, weigh, type Figures, type Json, type Reply, type Shape, type Turn } from "./shape.ts";

const PATH = /\/models\/([^/:]+):(generateContent|streamGenerateContent)$/;

/** `POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent`; with `alt=sse` as events, else as one JSON array. */
export const googleGenerateContent: Shape = {
  provider: "google",
  contentType: { json: "application/json; charset=UTF-8", stream: "text/event-stream" },
  caches: true,
  reasons: true,

  read(body, target) {
    const [, model = "", method] = PATH.exec(target.pathname) ?? [];
    const contents = objects(body["contents"]);
    const parts = (content: Json): readonly Json[] => objects(content["parts"]);
    const config = body["generationConfig"];
    return {
      model: decodeURIComponent(model),
      streaming: method === "streamGenerateContent",
      prompt: contents
        .filter((content) => content["role"] !== "model")
        .flatMap((content) => parts(content).map((part) => text(part["text"])))
        .join("\n"),
      weight: weigh(body["systemInstruction"], body["contents"], body["tools"]),
      tools: objects(body["tools"])
        .flatMap((tool) => objects(tool["functionDeclarations"]))
        .map((tool) => ({ name: text(tool["name"]), properties: propertyNames(tool["parametersJsonSchema"] ?? tool["parameters"]) })),
      hasToolResult: contents.some((content) => parts(content).some((part) => part["functionResponse"] !== undefined)),
      ...(isObject(config) &&
        config["responseMimeType"] === "application/json" && {
          json: { schema: config["responseJsonSchema"] ?? config["responseSchema"] },
        }),
      usageAsked: true,
      framing: target.searchParams.get("alt") === "sse" ? "events" : "array",
    };
  },

  json: (turn, reply) => chunk(turn, reply, parts(reply, reply.text), true),

  stream(turn, reply) {
    const texts = reply.toolCall === undefined ? cut(reply.text) : [""];
    return texts.map((piece, index) => {
      const isLast = index === texts.length - 1;
      const json = JSON.stringify(chunk(turn, reply, parts(reply, piece), isLast));
      const bytes = turn.framing === "events" ? `data: ${json}\r\n\r\n` : `${index === 0 ? "[" : ",\r\n"}${json}${isLast ? "]" : ""}`;
      return isLast ? { bytes, reports: true } : { bytes };
    });
  },

  reported({ input, output, cacheRead, reasoning }) {
    return { input, output, total: input + output, cacheRead, cacheWrite: null, reasoning, billedInput: null, billedOutput: null };
  },

  error: (status, message) => ({ error: { code: status, message, status: status === 401 ? "UNAUTHENTICATED" : "INVALID_ARGUMENT" } }),
};

function parts(reply: Reply, piece: string): readonly Json[] {
  if (reply.toolCall === undefined) return [{ text: piece }];
  return [{ functionCall: { name: reply.toolCall.name, args: reply.toolCall.arguments } }];
}

/** `usageMetadata` stands in every chunk and counts up; the first ones know the prompt alone. */
function chunk(turn: Turn, reply: Reply, content: readonly Json[], isLast: boolean): Json {
  return {
    candidates: [{ content: { parts: content, role: "model" }, ...(isLast && { finishReason: "STOP" }), index: 0 }],
    usageMetadata: isLast ? usage(reply.figures) : { promptTokenCount: reply.figures.input, totalTokenCount: reply.figures.input },
    modelVersion: turn.model,
    responseId: reply.id,
  };
}

function usage({ input, output, cacheRead, reasoning }: Figures): Json {
  return {
    promptTokenCount: input,
    candidatesTokenCount: output - reasoning,
    totalTokenCount: input + output,
    thoughtsTokenCount: reasoning,
    cachedContentTokenCount: cacheRead,
    promptTokensDetails: [{ modality: "TEXT", tokenCount: input }],
  };
}
