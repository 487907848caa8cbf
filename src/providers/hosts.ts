import type { ProviderId } from "../schema/provider.ts";
import { get, type Route } from "./route.ts";
import {
  ANTHROPIC_AGENT_ROUTES,
  anthropicRoutes,
  AZURE_ROUTES,
  BEDROCK_ROUTES,
  CODE_ASSIST_ROUTES,
  COHERE_ROUTES,
  COPILOT_ROUTES,
  geminiRoutes,
  MISTRAL_ROUTES,
  openaiRoutes,
  responsesRoutes,
  vertexRoutes,
} from "./routes.ts";
import type { RecognizeRequest } from "./types.ts";

/** A provider we know: its hosts and what is served at which path. Adding one whose shape exists is a row of this table. */
export type ProviderRow = {
  readonly provider: ProviderId;
  readonly hosts: readonly string[];
  /** hosts with a region in their name; matched against the whole canonical host */
  readonly hostPattern?: RegExp;
  /** the pattern as people read it, `{…}` for what differs */
  readonly hostNames?: readonly string[];
  /** takes `stream_options` in a streaming chat call and answers with a usage chunk; Mistral answers 422, some send usage anyway */
  readonly injectUsage: boolean | ((request: RecognizeRequest) => boolean);
  /** routes may stand below any base path */
  readonly anyBase?: true;
  /** where unknown paths are taken for model calls, on a host that serves other things too; null: nowhere; absent: everywhere */
  readonly unknownBelow?: string | null;
  /** paths of this provider that generate nothing, beside those of all (`unknown-paths.ts`) */
  readonly quiet?: readonly RegExp[];
  readonly routes: readonly Route[];
};

/** the first version that knows `stream_options`; older ones answer 400 "Unknown parameter" (BoltAI#135) */
const AZURE_STREAM_OPTIONS = "2024-09-01";

/** `/openai/v1` has no versions; elsewhere the version must be new enough, and one that cannot be compared is not asked. */
function azureTakesStreamOptions(request: RecognizeRequest): boolean {
  if (/\/openai\/v1\//i.test(request.path)) return true;
  const version = new URLSearchParams(request.query).get("api-version") ?? "";
  return /^\d{4}-\d{2}-\d{2}(?:-preview)?$/.test(version) && version.slice(0, 10) >= AZURE_STREAM_OPTIONS;
}

/** What agents are made of, and the care of their sessions; a session itself begins with its events. */
const ANTHROPIC_QUIET: readonly RegExp[] = [
  /^\/v1\/(?:agents|skills|environments|vaults|memory_stores|user_profiles|tunnels)(?:\/|$)/,
  /^\/v1\/sessions\/[^/]+(?:\/archive|\/resources(?:\/[^/]+)?|\/threads\/[^/]+\/archive)?$/,
  /^\/v1\/deployments\/[^/]+\/(?:archive|pause)$/,
  /^\/v1\/dreams\/[^/]+\/archive$/,
];

/** What Gemini CLI asks about account, quota and settings, and says about itself. In lower case. */
const CODE_ASSIST_QUIET: readonly RegExp[] = [
  /^\/v1internal:(?:loadcodeassist|onboarduser|fetchadmincontrols|listexperiments|retrieveuserquota|recordcodeassistmetrics)$/,
  /^\/v1internal:(?:get|set)codeassistglobalusersetting$/,
];

export const BUILT_IN_PROVIDERS: readonly ProviderRow[] = [
  {
    provider: "openai",
    hosts: ["api.openai.com", ...["us", "eu", "ae", "au", "in", "jp"].map((region) => `${region}.api.openai.com`)],
    injectUsage: true,
    routes: openaiRoutes("/v1"),
  },
  // Codex signed in with a ChatGPT account (llmtrim#194)
  {
    provider: "openai",
    hosts: ["chatgpt.com"],
    injectUsage: false,
    unknownBelow: "/backend-api/codex/",
    routes: responsesRoutes("/backend-api/codex"),
  },
  {
    provider: "anthropic",
    hosts: ["api.anthropic.com"],
    injectUsage: false,
    quiet: ANTHROPIC_QUIET,
    routes: [...anthropicRoutes("/v1"), ...ANTHROPIC_AGENT_ROUTES],
  },
  {
    provider: "google",
    hosts: ["generativelanguage.googleapis.com"],
    injectUsage: false,
    routes: ["/v1", "/v1beta", "/v1alpha"].flatMap(geminiRoutes),
  },
  {
    provider: "google",
    hosts: ["cloudcode-pa.googleapis.com"],
    injectUsage: false,
    quiet: CODE_ASSIST_QUIET,
    routes: CODE_ASSIST_ROUTES,
  },
  {
    provider: "vertex",
    hosts: ["aiplatform.googleapis.com"],
    hostPattern: /^(?:[a-z0-9-]+-aiplatform\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com)$/,
    hostNames: ["{region}-aiplatform.googleapis.com", "aiplatform.{region}.rep.googleapis.com"],
    injectUsage: false,
    routes: ["v1", "v1beta1"].flatMap(vertexRoutes),
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
    routes: MISTRAL_ROUTES,
  },
  {
    provider: "cohere",
    hosts: ["api.cohere.com", "api.cohere.ai"],
    injectUsage: false,
    routes: [...COHERE_ROUTES, ...openaiRoutes("/compatibility/v1")],
  },
  {
    provider: "together",
    hosts: ["api.together.ai", "api.together.xyz"],
    injectUsage: false,
    // videos are of the second version
    routes: [...openaiRoutes("/v1"), ...openaiRoutes("/v2")],
  },
  {
    provider: "fireworks",
    hosts: ["api.fireworks.ai"],
    injectUsage: false,
    routes: [...openaiRoutes("/inference/v1"), ...anthropicRoutes("/inference/v1")],
  },
  {
    provider: "xai",
    hosts: ["api.x.ai"],
    injectUsage: true,
    routes: [
      ...openaiRoutes("/v1"),
      ...anthropicRoutes("/v1"),
      // a completion that was asked for with "deferred": its usage comes with the fetch
      get("/v1/chat/deferred-completion/{id}", "openai-chat", "fetch_response"),
    ],
  },
  {
    provider: "openrouter",
    hosts: ["openrouter.ai"],
    injectUsage: false,
    unknownBelow: "/api/v1/",
    routes: [...openaiRoutes("/api/v1"), ...anthropicRoutes("/api/v1")],
  },
  // usage and time_info stand in the finish chunk, asked for or not
  { provider: "cerebras", hosts: ["api.cerebras.ai"], injectUsage: false, routes: openaiRoutes("/v1") },
  // Kimi: usage stands in the last choice of a stream, and in a chunk of its own when it was asked for (AstrBot#6614)
  {
    provider: "moonshot",
    hosts: ["api.moonshot.ai", "api.moonshot.cn"],
    injectUsage: true,
    routes: [...openaiRoutes("/v1"), ...anthropicRoutes("/anthropic/v1")],
  },
  {
    provider: "copilot",
    hosts: ["api.githubcopilot.com"],
    hostPattern: /^api\.[a-z0-9-]+\.githubcopilot\.com$/,
    hostNames: ["api.{plan}.githubcopilot.com"],
    injectUsage: false,
    routes: COPILOT_ROUTES,
  },
  {
    provider: "azure",
    hosts: [],
    hostPattern: /^[a-z0-9-]+(?:\.[a-z0-9-]+)?\.(?:openai\.azure\.com|services\.ai\.azure\.com|cognitiveservices\.azure\.com)$/,
    hostNames: ["{name}.openai.azure.com", "{name}.services.ai.azure.com", "{name}.cognitiveservices.azure.com"],
    injectUsage: azureTakesStreamOptions,
    routes: AZURE_ROUTES,
  },
  // API Management puts them below a path of its own
  {
    provider: "azure",
    hosts: [],
    hostPattern: /^[a-z0-9-]+\.azure-api\.net$/,
    hostNames: ["{name}.azure-api.net"],
    anyBase: true,
    injectUsage: azureTakesStreamOptions,
    // any API may stand there
    unknownBelow: null,
    routes: AZURE_ROUTES,
  },
  {
    provider: "bedrock",
    hosts: [],
    hostPattern:
      /^(?:bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|api\.aws)|[a-z0-9-]+\.bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.vpce\.amazonaws\.com)$/,
    hostNames: [
      "bedrock-runtime.{region}.amazonaws.com",
      "bedrock-runtime-fips.{region}.amazonaws.com",
      "bedrock-runtime.{region}.api.aws",
      "{endpoint}.bedrock-runtime.{region}.vpce.amazonaws.com",
    ],
    injectUsage: false,
    routes: BEDROCK_ROUTES,
  },
  {
    provider: "bedrock",
    hosts: [],
    hostPattern: /^bedrock-mantle\.[a-z0-9-]+\.api\.aws$/,
    hostNames: ["bedrock-mantle.{region}.api.aws"],
    injectUsage: false,
    routes: [...openaiRoutes("/openai/v1"), ...openaiRoutes("/v1"), ...anthropicRoutes("/anthropic/v1")],
  },
];
