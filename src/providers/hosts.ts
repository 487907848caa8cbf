import type { ProviderId } from "../schema/provider.ts";
import {
  anthropicRoutes,
  COHERE_ROUTES,
  googleRoutes,
  openaiRoutes,
  responsesRoutes,
  vertexAnthropicRoutes,
  type Route,
} from "./routes.ts";

/** A provider we know: its hosts and what is served at which path. Adding one whose shape exists is a row of this table. */
export type ProviderRow = {
  readonly provider: ProviderId;
  readonly hosts: readonly string[];
  /** hosts with a region in their name; matched against the whole canonical host */
  readonly hostPattern?: RegExp;
  /** takes `stream_options` in a streaming chat call and answers with a usage chunk; Mistral answers 422, some send usage anyway */
  readonly injectUsage: boolean;
  readonly routes: readonly Route[];
};

const VERTEX_MODELS = (version: string, publisher: string): string => `/${version}/projects/*/locations/*/publishers/${publisher}/models`;

export const BUILT_IN_PROVIDERS: readonly ProviderRow[] = [
  {
    provider: "openai",
    hosts: ["api.openai.com", ...["us", "eu", "ae", "au", "in", "jp"].map((region) => `${region}.api.openai.com`)],
    injectUsage: true,
    routes: openaiRoutes("/v1"),
  },
  // Codex signed in with a ChatGPT account (llmtrim#194)
  { provider: "openai", hosts: ["chatgpt.com"], injectUsage: false, routes: responsesRoutes("/backend-api/codex") },
  { provider: "anthropic", hosts: ["api.anthropic.com"], injectUsage: false, routes: anthropicRoutes("/v1") },
  {
    provider: "google",
    hosts: ["generativelanguage.googleapis.com"],
    injectUsage: false,
    routes: ["/v1", "/v1beta", "/v1alpha"].flatMap((version) => [
      ...googleRoutes(`${version}/models`),
      ...googleRoutes(`${version}/tunedModels`),
      ...openaiRoutes(`${version}/openai`),
    ]),
  },
  {
    provider: "vertex",
    hosts: ["aiplatform.googleapis.com"],
    hostPattern: /^(?:[a-z0-9-]+-aiplatform\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com)$/,
    injectUsage: false,
    routes: ["v1", "v1beta1"].flatMap((version) => [
      ...googleRoutes(VERTEX_MODELS(version, "google")),
      ...vertexAnthropicRoutes(VERTEX_MODELS(version, "anthropic")),
      ...openaiRoutes(`/${version}/projects/*/locations/*/endpoints/openapi`),
    ]),
  },
  {
    provider: "deepseek",
    hosts: ["api.deepseek.com"],
    injectUsage: true,
    routes: [...openaiRoutes(""), ...openaiRoutes("/v1"), ...openaiRoutes("/beta"), ...anthropicRoutes("/anthropic/v1")],
  },
  { provider: "groq", hosts: ["api.groq.com"], injectUsage: false, routes: openaiRoutes("/openai/v1") },
  {
    provider: "mistral",
    hosts: ["api.mistral.ai", "api.eu.mistral.ai", "api.us.mistral.ai", "codestral.mistral.ai"],
    injectUsage: false,
    routes: [
      ...openaiRoutes("/v1"),
      { method: "POST", path: "/v1/fim/completions", shape: "openai-chat", operation: "text_completion" },
      { method: "POST", path: "/v1/agents/completions", shape: "openai-chat", operation: "chat" },
    ],
  },
  {
    provider: "cohere",
    hosts: ["api.cohere.com", "api.cohere.ai"],
    injectUsage: false,
    routes: [...COHERE_ROUTES, ...openaiRoutes("/compatibility/v1")],
  },
  { provider: "together", hosts: ["api.together.ai", "api.together.xyz"], injectUsage: false, routes: openaiRoutes("/v1") },
  {
    provider: "fireworks",
    hosts: ["api.fireworks.ai"],
    injectUsage: false,
    routes: [...openaiRoutes("/inference/v1"), ...anthropicRoutes("/inference/v1")],
  },
  { provider: "xai", hosts: ["api.x.ai"], injectUsage: true, routes: [...openaiRoutes("/v1"), ...anthropicRoutes("/v1")] },
  {
    provider: "openrouter",
    hosts: ["openrouter.ai"],
    injectUsage: false,
    routes: [...openaiRoutes("/api/v1"), ...anthropicRoutes("/api/v1")],
  },
  {
    provider: "copilot",
    hosts: ["api.githubcopilot.com"],
    hostPattern: /^api\.[a-z0-9-]+\.githubcopilot\.com$/,
    injectUsage: false,
    routes: [...openaiRoutes(""), ...anthropicRoutes("/v1")],
  },
];

/** An operator's own server: the shapes that such servers offer side by side, under any base path. */
export const CUSTOM_ROUTES: readonly Route[] = [...openaiRoutes(""), ...anthropicRoutes("")];
