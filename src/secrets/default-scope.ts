/** What a key may be used for on a host when its binding names no paths. */
export type ScopeRule = { readonly methods: readonly string[]; readonly paths: readonly string[] };
export type Scope = readonly ScopeRule[];

const POST = ["POST"];
const READ = ["GET", "HEAD"];

/** Inference of an API in OpenAI's manner below a base path: calls that a meter sees, and what a client asks about models. */
function openaiLike(base: string): Scope {
  const calls = [
    ...["chat/completions", "completions", "embeddings", "moderations", "responses", "responses/compact", "responses/input_tokens"],
    ...["rerank", "images/*", "audio/*", "fim/completions", "agents/completions", "ocr", "infill"],
  ];
  return [
    { methods: POST, paths: calls.map((path) => `${base}/${path}`) },
    { methods: READ, paths: [`${base}/models`, `${base}/models/**`] },
  ];
}

function anthropicLike(base: string): Scope {
  return [
    { methods: POST, paths: [`${base}/messages`, `${base}/messages/count_tokens`, `${base}/complete`] },
    ...jobs(`${base}/messages`, "batches"),
    // a GET of messages is its WebSocket
    { methods: READ, paths: [`${base}/messages`, `${base}/messages/batches/*/results`, `${base}/models`, `${base}/models/*`] },
  ];
}

/**
 * Files by their id, which only their uploader knows, and uploads; never the list of everybody's files, which is how a key for one
 * sandbox would read another's.
 */
function ownFiles(base: string): Scope {
  return [
    { methods: POST, paths: [`${base}/files`, `${base}/uploads`, `${base}/uploads/**`] },
    { methods: [...READ, "DELETE"], paths: [`${base}/files/*`, `${base}/files/*/content`] },
  ];
}

/** Work that is done later: made, asked for by its id, cancelled; never everybody's list. */
function jobs(base: string, name: string): Scope {
  return [
    { methods: POST, paths: [`${base}/${name}`, `${base}/${name}/*/cancel`] },
    { methods: READ, paths: [`${base}/${name}/*`] },
  ];
}

function videos(base: string): Scope {
  return [
    { methods: POST, paths: [`${base}/videos`, `${base}/videos/*/remix`] },
    { methods: [...READ, "DELETE"], paths: [`${base}/videos/*`, `${base}/videos/*/content`] },
  ];
}

const OPENAI: Scope = [
  ...openaiLike("/v1"),
  ...jobs("/v1", "batches"),
  ...videos("/v1"),
  { methods: POST, paths: ["/v1/decisions", "/v1/live/sessions", "/v1/agents/sessions", "/v1/agents/sessions/*/turns"] },
  { methods: READ, paths: ["/v1/live", "/v1/live/sessions/*", "/v1/agents/sessions/*"] },
  ...ownFiles("/v1"),
  // of one's own by its id: poll, cancel, delete, input items; WebSocket mode is a GET of /v1/responses
  { methods: ["GET", "POST", "DELETE"], paths: ["/v1/responses/*", "/v1/responses/*/*"] },
  { methods: READ, paths: ["/v1/responses", "/v1/realtime"] },
  { methods: POST, paths: ["/v1/conversations"] },
  { methods: ["GET", "POST", "DELETE"], paths: ["/v1/conversations/*", "/v1/conversations/*/**"] },
];

const ANTHROPIC: Scope = [
  ...anthropicLike("/v1"),
  ...ownFiles("/v1"),
  // Claude Code signed in with a subscription; /api/oauth/claude_cli/create_api_key, which answers with a key, is not among them
  { methods: READ, paths: ["/api/oauth/profile", "/api/oauth/usage", "/api/oauth/claude_cli/client_data", "/api/oauth/claude_cli/roles"] },
  { methods: READ, paths: ["/api/claude_cli/bootstrap", "/api/claude_code/**", "/api/claude_code_grove"] },
  { methods: POST, paths: ["/api/claude_code/metrics", "/api/event_logging/**"] },
];

const GOOGLE: Scope = [
  { methods: POST, paths: ["/*/models/*", "/*/tunedModels/*"] },
  { methods: READ, paths: ["/*/models", "/*/models/*", "/*/models/*/operations/*", "/*/operations/*", "/ws/**"] },
  { methods: ["POST", "PUT"], paths: ["/upload/*/files", "/upload/*/files/*"] },
  { methods: [...READ, "DELETE"], paths: ["/*/files/*", "/*/cachedContents/*"] },
  { methods: ["POST"], paths: ["/*/cachedContents"] },
  { methods: ["PATCH"], paths: ["/*/cachedContents/*"] },
  { methods: POST, paths: ["/*/interactions", "/*/batches/*"] },
  { methods: [...READ, "DELETE"], paths: ["/*/interactions/*"] },
  { methods: READ, paths: ["/*/batches/*"] },
  ...openaiLike("/*/openai"),
];

/** What Gemini CLI asks of Code Assist, but for what changes the account's settings. */
export const CODE_ASSIST_PATHS: readonly string[] = [
  ...["generateContent", "streamGenerateContent", "countTokens", "loadCodeAssist", "onboardUser", "fetchAdminControls"],
  ...["listExperiments", "retrieveUserQuota", "recordCodeAssistMetrics", "getCodeAssistGlobalUserSetting"],
]
  .map((method) => `/v1internal:${method}`)
  .concat("/v1internal/operations/*");

const CODE_ASSIST: Scope = [{ methods: ["GET", "POST"], paths: CODE_ASSIST_PATHS }];

const COHERE: Scope = [
  {
    methods: POST,
    paths: ["chat", "embed", "rerank", "generate", "classify", "summarize", "tokenize", "detokenize", "parse"].map((name) => `/*/${name}`),
  },
  { methods: POST, paths: ["/v2/audio/transcriptions"] },
  ...jobs("/v2", "batches"),
  { methods: READ, paths: ["/v1/models", "/v1/models/*"] },
  ...openaiLike("/compatibility/v1"),
];

const MISTRAL: Scope = [
  ...openaiLike("/v1"),
  ...ownFiles("/v1"),
  ...jobs("/v1", "batch/jobs"),
  { methods: POST, paths: ["/v1/chat/moderations", "/v1/classifications", "/v1/chat/classifications", "/v1/conversations"] },
  { methods: READ, paths: ["/v1/audio/transcriptions/realtime"] },
  { methods: ["GET", "POST", "DELETE"], paths: ["/v1/conversations/*", "/v1/conversations/*/**"] },
];

/** A model's id may be an ARN with coded slashes; everything below it makes it work, or counts. */
const BEDROCK: Scope = [
  { methods: POST, paths: ["/model/**", "/async-invoke"] },
  { methods: READ, paths: ["/async-invoke/*"] },
  ...openaiLike("/openai/v1"),
];

const BEDROCK_MANTLE: Scope = [...["/openai/v1", "/v1"].flatMap((base) => openaiLike(base)), ...anthropicLike("/anthropic/v1")];

const AZURE: Scope = [
  ...jobs("/openai", "batches"),
  ...jobs("/openai/v1", "batches"),
  ...videos("/openai/v1"),
  { methods: POST, paths: ["/openai/deployments/*/**", "/openai/responses", "/models/*", "/models/chat/completions"] },
  { methods: ["GET", "POST", "DELETE"], paths: ["/openai/responses/*", "/openai/responses/*/*", "/openai/v1/responses/*"] },
  { methods: READ, paths: ["/openai/models", "/openai/models/*", "/openai/realtime", "/openai/v1/realtime", "/openai/v1/responses"] },
  ...openaiLike("/openai/v1"),
  ...anthropicLike("/anthropic/v1"),
];

const TOGETHER: Scope = [...openaiLike("/v1"), ...ownFiles("/v1"), ...jobs("/v1", "batches"), ...videos("/v1"), ...videos("/v2")];

const MOONSHOT: Scope = [...openaiLike("/v1"), ...ownFiles("/v1"), ...anthropicLike("/anthropic/v1")];

const COPILOT: Scope = [
  ...["", "/v1"].flatMap((base) => [...openaiLike(base), ...anthropicLike(base)]),
  { methods: POST, paths: ["/v1/engines/*/completions"] },
  { methods: READ, paths: ["/responses"] },
];

/** A leading dot stands for every name below. */
const SCOPES: readonly (readonly [string, Scope])[] = [
  ["api.openai.com", OPENAI],
  [".api.openai.com", OPENAI],
  ["chatgpt.com", [{ methods: ["GET", "POST"], paths: ["/backend-api/codex/**"] }]],
  ["api.anthropic.com", ANTHROPIC],
  ["generativelanguage.googleapis.com", GOOGLE],
  ["cloudcode-pa.googleapis.com", CODE_ASSIST],
  ["api.deepseek.com", [...["", "/v1", "/beta"].flatMap(openaiLike), ...anthropicLike("/anthropic/v1")]],
  ["api.groq.com", [...openaiLike("/openai/v1"), ...ownFiles("/openai/v1"), ...jobs("/openai/v1", "batches")]],
  ["api.mistral.ai", MISTRAL],
  [".mistral.ai", MISTRAL],
  ["api.cohere.com", COHERE],
  ["api.cohere.ai", COHERE],
  ["api.together.ai", TOGETHER],
  ["api.together.xyz", TOGETHER],
  ["api.fireworks.ai", [...openaiLike("/inference/v1"), ...anthropicLike("/inference/v1")]],
  [
    "api.x.ai",
    [...openaiLike("/v1"), ...anthropicLike("/v1"), { methods: READ, paths: ["/v1/responses/*", "/v1/chat/deferred-completion/*"] }],
  ],
  ["openrouter.ai", [...openaiLike("/api/v1"), ...anthropicLike("/api/v1")]],
  [".openai.azure.com", AZURE],
  [".services.ai.azure.com", AZURE],
  [".cognitiveservices.azure.com", AZURE],
  ["api.cerebras.ai", openaiLike("/v1")],
  ["api.moonshot.ai", MOONSHOT],
  ["api.moonshot.cn", MOONSHOT],
  ["api.githubcopilot.com", COPILOT],
  [".githubcopilot.com", COPILOT],
];

/** Hosts with a region in their name. */
const REGIONAL: readonly (readonly [RegExp, Scope])[] = [
  [/(?:^|\.)bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.(?:(?:vpce\.)?amazonaws\.com(?:\.cn)?|api\.aws)$/, BEDROCK],
  [/^bedrock-mantle\.[a-z0-9-]+\.api\.aws$/, BEDROCK_MANTLE],
];

/** The scope of a key on this canonical host; undefined: a host that is no model API, where a key may go everywhere. */
export function defaultScope(host: string): Scope | undefined {
  const named = SCOPES.find(([known]) => (known.startsWith(".") ? host.endsWith(known) : host === known));
  return (named ?? REGIONAL.find(([pattern]) => pattern.test(host)))?.[1];
}
