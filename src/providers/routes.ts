import type { ShapeId } from "./types.ts";

/** One kind of call: where it is sent, what it is, how its bodies are written. */
export type Route = {
  readonly method: "POST" | "GET";
  /** `*` is one segment, `{model}` is one or more segments and the model, `:name` at the end is Google's method */
  readonly path: string;
  readonly shape: ShapeId;
  readonly operation: string;
  /** the path decides */
  readonly streaming?: boolean;
  /** default true */
  readonly billable?: boolean;
  /** may be asked for its usage by `stream_options` */
  readonly takesStreamOptions?: boolean;
};

const post = (path: string, shape: ShapeId, operation: string, rest: Partial<Route> = {}): Route => ({
  method: "POST",
  path,
  shape,
  operation,
  ...rest,
});

/** The OpenAI API below a base path, as most providers offer part of it. */
export function openaiRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/chat/completions`, "openai-chat", "chat", { takesStreamOptions: true }),
    post(`${base}/completions`, "openai-chat", "text_completion", { takesStreamOptions: true }),
    post(`${base}/embeddings`, "openai-chat", "embeddings"),
    post(`${base}/moderations`, "openai-chat", "moderation", { billable: false }),
    post(`${base}/images/generations`, "openai-chat", "image_generation"),
    post(`${base}/images/edits`, "openai-chat", "image_edit"),
    post(`${base}/audio/transcriptions`, "openai-chat", "transcription"),
    post(`${base}/audio/translations`, "openai-chat", "translation"),
    ...responsesRoutes(base),
  ];
}

/** The Responses API below a base path. */
export function responsesRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/responses`, "openai-responses", "responses"),
    post(`${base}/responses/compact`, "openai-responses", "responses"),
    post(`${base}/responses/input_tokens`, "openai-responses", "count_tokens", { billable: false }),
    // a poll delivers the usage of the call that made the response, again each time
    { method: "GET", path: `${base}/responses/*`, shape: "openai-responses", operation: "fetch_response", billable: false },
  ];
}

/** The Anthropic API below a base path. */
export function anthropicRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/messages`, "anthropic-messages", "messages"),
    post(`${base}/messages/count_tokens`, "anthropic-messages", "count_tokens", { billable: false }),
    post(`${base}/complete`, "anthropic-messages", "text_completion"),
  ];
}

/** Google's methods on a model below a base path. */
export function googleRoutes(base: string): readonly Route[] {
  const method = (name: string, operation: string, rest: Partial<Route> = {}): Route =>
    post(`${base}/{model}:${name}`, "google-generate-content", operation, rest);
  return [
    method("generateContent", "generate_content", { streaming: false }),
    method("streamGenerateContent", "generate_content", { streaming: true }),
    method("countTokens", "count_tokens", { billable: false, streaming: false }),
    method("embedContent", "embeddings", { streaming: false }),
    method("batchEmbedContents", "embeddings", { streaming: false }),
  ];
}

/** Claude on Vertex: Anthropic bodies, the model in the path. */
export function vertexAnthropicRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/{model}:rawPredict`, "anthropic-messages", "messages", { streaming: false }),
    post(`${base}/{model}:streamRawPredict`, "anthropic-messages", "messages", { streaming: true }),
  ];
}

export const COHERE_ROUTES: readonly Route[] = [
  post("/v2/chat", "cohere", "chat"),
  post("/v2/embed", "cohere", "embeddings"),
  post("/v2/rerank", "cohere", "rerank"),
  post("/v1/chat", "cohere", "chat"),
  post("/v1/generate", "cohere", "text_completion"),
  post("/v1/embed", "cohere", "embeddings"),
  post("/v1/rerank", "cohere", "rerank"),
  post("/v1/classify", "cohere", "classify"),
  post("/v1/summarize", "cohere", "summarize"),
  post("/v1/tokenize", "cohere", "count_tokens", { billable: false }),
];

export type RouteMatch = { readonly route: Route; readonly model: string | null };

type Compiled = { readonly route: Route; readonly pattern: RegExp };

/** Routes ready to look up. Paths are compared without case, models keep theirs. */
export class RouteTable {
  readonly #exact = new Map<string, Route>();
  readonly #patterns: readonly Compiled[];
  readonly #suffixes: boolean;

  /** `suffixes`: a route's path may stand at the end of any path (an operator's own server under any base) */
  constructor(routes: readonly Route[], options: { readonly suffixes?: boolean } = {}) {
    this.#suffixes = options.suffixes ?? false;
    for (const route of routes) if (isExact(route)) this.#exact.set(`${route.method} ${route.path.toLowerCase()}`, route);
    this.#patterns = routes.filter((route) => !isExact(route)).map((route) => ({ route, pattern: compile(route.path) }));
  }

  /** `path` is canonical */
  match(method: string, path: string): RouteMatch | null {
    const folded = path.toLowerCase();
    for (let at = 0; at >= 0; at = this.#suffixes ? folded.indexOf("/", at + 1) : -1) {
      const exact = this.#exact.get(`${method} ${folded.slice(at)}`);
      if (exact !== undefined) return { route: exact, model: null };
      for (const { route, pattern } of this.#patterns) {
        if (route.method !== method) continue;
        const found = pattern.exec(path.slice(at));
        if (found !== null) return { route, model: found.groups?.["model"] ?? null };
      }
    }
    return null;
  }
}

function isExact(route: Route): boolean {
  return !route.path.includes("*") && !route.path.includes("{");
}

function compile(path: string): RegExp {
  const source = path
    .split(/(\*|\{model\})/)
    .map((part) => (part === "*" ? "[^/]+" : part === "{model}" ? "(?<model>.{1,256}?)" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")))
    .join("");
  return new RegExp(`^${source}$`, "i");
}
