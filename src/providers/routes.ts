import { get, post, socket, type Route } from "./route.ts";

const FREE: Partial<Route> = { billable: false };

/** The OpenAI API below a base path, as most providers offer part of it. */
export function openaiRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/chat/completions`, "openai-chat", "chat", { takesStreamOptions: true }),
    post(`${base}/completions`, "openai-chat", "text_completion", { takesStreamOptions: true }),
    post(`${base}/embeddings`, "openai-chat", "embeddings"),
    post(`${base}/moderations`, "openai-chat", "moderation", FREE),
    post(`${base}/rerank`, "openai-chat", "rerank"),
    post(`${base}/images/generations`, "openai-media", "image_generation"),
    post(`${base}/images/edits`, "openai-media", "image_edit"),
    post(`${base}/images/variations`, "openai-media", "image_variation"),
    post(`${base}/audio/transcriptions`, "openai-media", "transcription"),
    post(`${base}/audio/translations`, "openai-media", "translation"),
    post(`${base}/audio/speech`, "openai-media", "speech"),
    post(`${base}/videos`, "openai-media", "video_generation"),
    post(`${base}/videos/edits`, "openai-media", "video_generation"),
    post(`${base}/videos/extensions`, "openai-media", "video_generation"),
    post(`${base}/videos/*/remix`, "openai-media", "video_generation"),
    ...responsesRoutes(base),
    ...runRoutes(base),
    ...openaiBatchRoutes(base),
    ...realtimeRoutes(base),
  ];
}

/** The Responses API below a base path. */
export function responsesRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/responses`, "openai-responses", "responses"),
    post(`${base}/responses/compact`, "openai-responses", "responses"),
    post(`${base}/responses/input_tokens`, "openai-responses", "count_tokens", FREE),
    post(`${base}/decisions`, "openai-responses", "decision"),
    post(`${base}/agents/sessions/*/turns`, "openai-responses", "agent_turn"),
    // a poll delivers the usage of the call that made the response, again each time: counted once, by its id
    get(`${base}/responses/{id}`, "openai-responses", "fetch_response"),
    socket(`${base}/responses`, "openai-responses", "responses"),
  ];
}

/** Runs of the Assistants API below a base path. */
function runRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/threads/runs`, "openai-runs", "thread_run"),
    post(`${base}/threads/*/runs`, "openai-runs", "thread_run"),
    // goes on with a run: its answer, or the next poll, has what the whole run used
    post(`${base}/threads/*/runs/*/submit_tool_outputs`, "openai-runs", "thread_run"),
    get(`${base}/threads/*/runs/{id}`, "openai-runs", "fetch_response"),
  ];
}

function openaiBatchRoutes(base: string): readonly Route[] {
  return [post(`${base}/batches`, "openai-batch", "create_batch", FREE), get(`${base}/batches/{id}`, "openai-batch", "fetch_batch")];
}

function realtimeRoutes(base: string): readonly Route[] {
  return [
    socket(`${base}/realtime`, "openai-realtime", "realtime", { modelQuery: "model" }),
    post(`${base}/realtime/client_secrets`, "openai-realtime", "realtime_session", FREE),
    post(`${base}/realtime/sessions`, "openai-realtime", "realtime_session", FREE),
    post(`${base}/realtime/transcription_sessions`, "openai-realtime", "realtime_session", FREE),
    // WebRTC: what is said passes beside the gateway, nobody here can count it
    post(`${base}/realtime/calls`, "openai-realtime", "realtime_call", { modelQuery: "model" }),
    post(`${base}/live/sessions`, "openai-live", "live_session", FREE),
    socket(`${base}/live`, "openai-live", "live", { modelQuery: "model" }),
    socket(`${base}/live/sessions/{id}`, "openai-live", "live"),
  ];
}

/** The Anthropic API below a base path. */
export function anthropicRoutes(base: string): readonly Route[] {
  return [
    post(`${base}/messages`, "anthropic-messages", "messages"),
    post(`${base}/messages/count_tokens`, "anthropic-messages", "count_tokens", FREE),
    post(`${base}/messages/batches`, "anthropic-messages", "create_batch", FREE),
    get(`${base}/messages/batches/{id}/results`, "anthropic-batch-results", "batch_results"),
    post(`${base}/complete`, "anthropic-messages", "text_completion"),
    socket(`${base}/messages`, "anthropic-messages", "messages"),
  ];
}

/**
 * Agents that Anthropic runs by itself, in sessions: what is asked for has no answer but that it began, and what its models used comes
 * with the session's events.
 */
export const ANTHROPIC_AGENT_ROUTES: readonly Route[] = [
  ...["/v1/sessions", "/v1/sessions/*/events", "/v1/deployments", "/v1/deployments/*/run", "/v1/deployments/*/unpause", "/v1/dreams"].map(
    (path) => post(path, "anthropic-sessions", "agent_run"),
  ),
  ...["/v1/sessions/*/events", "/v1/sessions/*/threads/*/events"].map((path) => get(path, "anthropic-sessions", "fetch_response")),
  ...["/v1/sessions/*/events/stream", "/v1/sessions/*/threads/*/stream"].map((path) =>
    get(path, "anthropic-sessions", "fetch_response", { streaming: true }),
  ),
];

/** Google's methods on a model below a base path. */
export function googleRoutes(base: string): readonly Route[] {
  const method = (name: string, operation: string, rest: Partial<Route> = {}): Route =>
    post(`${base}/{model}:${name}`, "google-generate-content", operation, { streaming: false, ...rest });
  return [
    method("generateContent", "generate_content"),
    method("streamGenerateContent", "generate_content", { streaming: true }),
    method("countTokens", "count_tokens", FREE),
    method("embedContent", "embeddings"),
    method("batchEmbedContents", "embeddings"),
    method("asyncBatchEmbedContent", "create_batch", FREE),
    method("batchGenerateContent", "create_batch", FREE),
    method("predict", "predict", { shape: "google-predict" }),
    method("predictLongRunning", "video_generation", { shape: "google-predict" }),
  ];
}

/** Code Assist, which Gemini CLI asks when somebody signed in with Google. */
export const CODE_ASSIST_ROUTES: readonly Route[] = [
  post("/v1internal:generateContent", "google-code-assist", "generate_content", { streaming: false }),
  post("/v1internal:streamGenerateContent", "google-code-assist", "generate_content", { streaming: true }),
  post("/v1internal:countTokens", "google-code-assist", "count_tokens", { ...FREE, streaming: false }),
];

/** What the Gemini API has beside its models, below a version. */
export function geminiRoutes(version: string): readonly Route[] {
  const name = version.slice(1);
  return [
    ...googleRoutes(`${version}/models`),
    ...googleRoutes(`${version}/tunedModels`),
    ...openaiRoutes(`${version}/openai`),
    post(`${version}/cachedContents`, "google-generate-content", "create_cache", { streaming: false }),
    // answers with a key for Live from a browser
    post(`${version}/auth_tokens`, "google-live", "realtime_session", FREE),
    post(`${version}/interactions`, "google-interactions", "interaction"),
    get(`${version}/interactions/{id}`, "google-interactions", "fetch_response"),
    get(`${version}/batches/{id}`, "google-batch", "fetch_batch"),
    socket(`/ws/google.ai.generativelanguage.${name}.GenerativeService.BidiGenerateContent`, "google-live", "live"),
    socket(`/ws/google.ai.generativelanguage.${name}.GenerativeService.BidiGenerateContentConstrained`, "google-live", "live"),
  ];
}

/** Models of other houses on Vertex: their own bodies, the model in the path. */
export function vertexRoutes(version: string): readonly Route[] {
  const location = `/${version}/projects/*/locations/*`;
  const raw = (publisher: string, shape: Route["shape"], operation: string): readonly Route[] => [
    post(`${location}/publishers/${publisher}/models/{model}:rawPredict`, shape, operation, { streaming: false }),
    post(`${location}/publishers/${publisher}/models/{model}:streamRawPredict`, shape, operation, { streaming: true }),
  ];
  return [
    ...googleRoutes(`${location}/publishers/google/models`).map(asVertex),
    // express mode, without a project
    ...googleRoutes(`/${version}/publishers/google/models`).map(asVertex),
    // a tuned model's own endpoint
    ...googleRoutes(`${location}/endpoints`).map(asVertex),
    post(`${location}/publishers/google/models/{model}:computeTokens`, "google-generate-content", "count_tokens", FREE),
    // a poll that is asked with POST
    post(`${location}/publishers/google/models/{model}:fetchPredictOperation`, "google-predict", "fetch_operation", FREE),
    post(`${location}/cachedContents`, "google-generate-content", "create_cache", { streaming: false }),
    post(`${location}/batchPredictionJobs`, "google-batch", "create_batch", FREE),
    post(`${location}/interactions`, "google-interactions", "interaction"),
    get(`${location}/interactions/{id}`, "google-interactions", "fetch_response"),
    // tokens are counted by a model of this name (Envoy AI Gateway)
    post(`${location}/publishers/anthropic/models/count-tokens:rawPredict`, "anthropic-messages", "count_tokens", FREE),
    ...raw("anthropic", "anthropic-messages", "messages"),
    // Mistral's, AI21's and others speak OpenAI's shape
    ...raw("*", "openai-chat", "chat"),
    ...openaiRoutes(`${location}/endpoints/openapi`),
    socket(`/ws/google.cloud.aiplatform.${version}.LlmBidiService/BidiGenerateContent`, "google-live", "live"),
  ];
}

/** On Vertex `:predict` is what text embeddings are asked with. */
function asVertex(route: Route): Route {
  return route.operation === "predict" ? { ...route, operation: "embeddings" } : route;
}

export const COHERE_ROUTES: readonly Route[] = [
  post("/v2/chat", "cohere", "chat"),
  post("/v2/embed", "cohere", "embeddings"),
  post("/v2/rerank", "cohere", "rerank"),
  post("/v2/parse", "cohere", "parse"),
  post("/v2/audio/transcriptions", "cohere", "transcription"),
  post("/v2/batches", "cohere", "create_batch", FREE),
  post("/v1/chat", "cohere", "chat"),
  post("/v1/generate", "cohere", "text_completion"),
  post("/v1/embed", "cohere", "embeddings"),
  post("/v1/rerank", "cohere", "rerank"),
  post("/v1/classify", "cohere", "classify"),
  post("/v1/summarize", "cohere", "summarize"),
  post("/v1/embed-jobs", "cohere", "create_batch", FREE),
  post("/v1/tokenize", "cohere", "count_tokens", FREE),
  post("/v1/detokenize", "cohere", "count_tokens", FREE),
];

export const MISTRAL_ROUTES: readonly Route[] = [
  ...openaiRoutes("/v1"),
  post("/v1/fim/completions", "openai-chat", "text_completion"),
  post("/v1/agents/completions", "openai-chat", "chat"),
  post("/v1/chat/moderations", "openai-chat", "moderation", FREE),
  post("/v1/classifications", "openai-chat", "classify"),
  post("/v1/chat/classifications", "openai-chat", "classify"),
  socket("/v1/audio/transcriptions/realtime", "openai-media", "transcription", { modelQuery: "model" }),
  post("/v1/conversations", "mistral-conversations", "conversation"),
  // the id is of the conversation that is gone on with, which its answer has too
  post("/v1/conversations/{id}", "mistral-conversations", "conversation"),
  post("/v1/conversations/{id}/restart", "mistral-conversations", "conversation"),
  post("/v1/ocr", "mistral-ocr", "ocr"),
  post("/v1/batch/jobs", "openai-batch", "create_batch", FREE),
  get("/v1/batch/jobs/{id}", "openai-batch", "fetch_batch"),
];

/** Azure OpenAI and Foundry: the deployment is the model, in the path or in the body. */
export const AZURE_ROUTES: readonly Route[] = [
  // on your data; before the next, in which its last part would be the model's
  post("/openai/deployments/{model}/extensions/chat/completions", "openai-chat", "chat"),
  ...openaiRoutes("/openai/deployments/{model}"),
  ...openaiRoutes("/openai/v1"),
  ...responsesRoutes("/openai"),
  ...runRoutes("/openai"),
  // a Foundry project
  ...openaiRoutes("/api/projects/*/openai/v1"),
  socket("/openai/realtime", "openai-realtime", "realtime", { modelQuery: "deployment" }),
  ...openaiBatchRoutes("/openai"),
  ...anthropicRoutes("/anthropic/v1"),
  post("/models/chat/completions", "openai-chat", "chat"),
  post("/models/embeddings", "openai-chat", "embeddings"),
  post("/models/images/embeddings", "openai-chat", "embeddings"),
];

/** Copilot's clients use the paths with and without a version; completions of the editor are asked of an engine. */
export const COPILOT_ROUTES: readonly Route[] = [
  ...openaiRoutes(""),
  ...openaiRoutes("/v1"),
  ...anthropicRoutes(""),
  ...anthropicRoutes("/v1"),
  post("/v1/engines/{model}/completions", "openai-chat", "text_completion"),
];

export const BEDROCK_ROUTES: readonly Route[] = [
  post("/model/{model}/converse", "bedrock-converse", "chat", { streaming: false }),
  post("/model/{model}/converse-stream", "bedrock-converse", "chat", { streaming: true }),
  post("/model/{model}/invoke", "bedrock-invoke", "invoke_model", { streaming: false }),
  post("/model/{model}/invoke-with-response-stream", "bedrock-invoke", "invoke_model", { streaming: true }),
  post("/model/{model}/invoke-with-bidirectional-stream", "bedrock-invoke", "invoke_model", { streaming: true }),
  post("/model/{model}/count-tokens", "bedrock-converse", "count_tokens", { streaming: false, billable: false }),
  // its result goes to a bucket
  post("/async-invoke", "bedrock-invoke", "async_invoke", FREE),
  ...openaiRoutes("/openai/v1"),
];

/** Ollama's own API beside the three that it speaks on the same port. */
export const OLLAMA_ROUTES: readonly Route[] = [
  post("/api/chat", "ollama", "chat"),
  post("/api/generate", "ollama", "text_completion"),
  post("/api/embed", "ollama", "embeddings", { streaming: false }),
  post("/api/embeddings", "ollama", "embeddings", { streaming: false }),
  ...openaiRoutes(""),
  ...anthropicRoutes(""),
];

/** An operator's own server: the shapes that such servers (vLLM, llama.cpp, LM Studio) offer side by side, under any base path. */
export const CUSTOM_ROUTES: readonly Route[] = [
  ...openaiRoutes(""),
  ...anthropicRoutes(""),
  // llama.cpp's own
  post("/completion", "llama-cpp", "text_completion"),
  post("/infill", "llama-cpp", "text_completion"),
  post("/embedding", "openai-chat", "embeddings"),
  post("/reranking", "openai-chat", "rerank"),
  // vLLM's own
  post("/score", "openai-chat", "rerank"),
  post("/pooling", "openai-chat", "embeddings"),
  post("/classify", "openai-chat", "classify"),
  // LM Studio's own
  post("/api/v1/chat", "lm-studio", "chat"),
];
