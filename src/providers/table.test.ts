import { describe, expect, it } from "vitest";
import { AppError } from "../base/error.ts";
import { PROVIDER_IDS } from "../schema/provider-ids.ts";
import { BUILT_IN_PROVIDERS } from "./hosts.ts";
import { createProviderTable, listProviders } from "./table.ts";
import type { Recognition } from "./types.ts";
import { UNRECOGNISED } from "./unknown-paths.ts";

const table = createProviderTable({ customDomains: ["llm.corp.example", "*.models.corp.example", "api.mistral.ai"] });

/** What is known of a call; undefined for one at a path that nobody knows. */
function recognize(url: string, method = "POST", from = table): Recognition | undefined {
  return known(recognizeAny(url, method, from));
}

function known(found: Recognition | undefined): Recognition | undefined {
  return found?.operation === UNRECOGNISED ? undefined : found;
}

function recognizeAny(url: string, method = "POST", from = table): Recognition | undefined {
  const slash = url.indexOf("/");
  const [path = "", query = ""] = url.slice(slash).split("?");
  return from.recognize({ host: url.slice(0, slash), method, path, query });
}

describe("recognition", () => {
  it.each([
    ["api.openai.com/v1/chat/completions", "openai", "openai-chat", "chat", true],
    ["eu.api.openai.com/v1/responses", "openai", "openai-responses", "responses", false],
    ["api.openai.com/v1/completions", "openai", "openai-chat", "text_completion", true],
    ["api.openai.com/v1/embeddings", "openai", "openai-chat", "embeddings", false],
    ["api.anthropic.com/v1/messages", "anthropic", "anthropic-messages", "messages", false],
    ["generativelanguage.googleapis.com/v1beta/openai/chat/completions", "google", "openai-chat", "chat", false],
    ["api.deepseek.com/chat/completions", "deepseek", "openai-chat", "chat", true],
    ["api.deepseek.com/beta/completions", "deepseek", "openai-chat", "text_completion", true],
    ["api.deepseek.com/anthropic/v1/messages", "deepseek", "anthropic-messages", "messages", false],
    ["api.groq.com/openai/v1/chat/completions", "groq", "openai-chat", "chat", false],
    ["api.eu.mistral.ai/v1/fim/completions", "mistral", "openai-chat", "text_completion", false],
    ["api.cohere.ai/v1/chat", "cohere", "cohere", "chat", false],
    ["api.cohere.com/compatibility/v1/chat/completions", "cohere", "openai-chat", "chat", false],
    ["api.together.ai/v1/chat/completions", "together", "openai-chat", "chat", false],
    ["api.together.xyz/v1/embeddings", "together", "openai-chat", "embeddings", false],
    ["api.fireworks.ai/inference/v1/chat/completions", "fireworks", "openai-chat", "chat", false],
    ["api.x.ai/v1/responses", "xai", "openai-responses", "responses", false],
    ["openrouter.ai/api/v1/messages", "openrouter", "anthropic-messages", "messages", false],
    ["api.business.githubcopilot.com/chat/completions", "copilot", "openai-chat", "chat", false],
    [
      "aiplatform.us.rep.googleapis.com/v1/projects/p/locations/us/endpoints/openapi/chat/completions",
      "vertex",
      "openai-chat",
      "chat",
      false,
    ],
    ["api.openai.com/v1/audio/speech", "openai", "openai-media", "speech", false],
    ["api.openai.com/v1/videos", "openai", "openai-media", "video_generation", false],
    ["generativelanguage.googleapis.com/v1beta/interactions", "google", "google-interactions", "interaction", false],
    ["codestral.mistral.ai/v1/fim/completions", "mistral", "openai-chat", "text_completion", false],
    ["api.eu.mistral.ai/v1/audio/transcriptions", "mistral", "openai-media", "transcription", false],
    ["api.eu.mistral.ai/v1/ocr", "mistral", "mistral-ocr", "ocr", false],
    ["corp.openai.azure.com/openai/v1/chat/completions", "azure", "openai-chat", "chat", true],
    ["corp.openai.azure.com/openai/responses?api-version=2025-04-01-preview", "azure", "openai-responses", "responses", false],
    ["corp.services.ai.azure.com/anthropic/v1/messages", "azure", "anthropic-messages", "messages", false],
    ["gw.azure-api.net/team/a/openai/v1/chat/completions", "azure", "openai-chat", "chat", true],
    ["bedrock-mantle.us-east-1.api.aws/openai/v1/chat/completions", "bedrock", "openai-chat", "chat", false],
    ["bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/completions", "bedrock", "openai-chat", "chat", false],
    ["api.cerebras.ai/v1/chat/completions", "cerebras", "openai-chat", "chat", false],
    ["api.moonshot.ai/v1/chat/completions", "moonshot", "openai-chat", "chat", true],
    ["api.moonshot.cn/anthropic/v1/messages", "moonshot", "anthropic-messages", "messages", false],
    ["api.cohere.com/v2/parse", "cohere", "cohere", "parse", false],
  ])("%s", (url, provider, shape, operation, injectUsage) => {
    expect(recognize(url)).toEqual({ provider, shape, operation, billable: true, injectUsage });
  });

  it.each([
    "api.openai.com/v1//chat/./completions/",
    "api.openai.com/v1/chat%2Fcompletions",
    "api.openai.com/v1/models/../chat/completions",
    "api.openai.com/V1/Chat/Completions",
    "api.openai.com/%761/chat/completions?x=1",
  ])("is not escaped by the spelling of the path: %s", (url) => {
    expect(recognize(url)).toMatchObject({ provider: "openai", operation: "chat" });
  });

  it.each([
    ["api.openai.com/v1/models", "POST"],
    ["api.openai.com/v1/chat/completions", "GET"],
    ["api.openai.com/v1/chat/completions/extra", "POST"],
    ["api.openai.com/x/v1/chat/completions", "POST"],
    ["api.openai.com/%zz", "POST"],
    ["evilapi.openai.com/v1/chat/completions", "POST"],
    ["api.openai.com.evil.net/v1/chat/completions", "POST"],
    ["openai.com/v1/chat/completions", "POST"],
    ["models.corp.example/v1/chat/completions", "POST"],
    ["evilmodels.corp.example/v1/chat/completions", "POST"],
    ["x-aiplatform.googleapis.com.evil.net/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "POST"],
  ])("knows nothing of %s %s", (url, method) => {
    expect(recognize(url, method)).toBeUndefined();
  });

  it("takes Google's model and method from the path", () => {
    const host = "generativelanguage.googleapis.com";
    const base = { provider: "google", shape: "google-generate-content", injectUsage: false };
    expect(recognize(`${host}/v1beta/models/gemini-3.5-flash:generateContent`)).toEqual({
      ...base,
      operation: "generate_content",
      model: "gemini-3.5-flash",
      streaming: false,
      billable: true,
    });
    expect(recognize(`${host}/v1/models/Gemini%3AstreamGenerateContent`)).toMatchObject({ model: "Gemini", streaming: true });
    expect(recognize(`${host}/v1beta/tunedModels/my-model:countTokens`)).toMatchObject({
      model: "my-model",
      operation: "count_tokens",
      billable: false,
    });
    expect(recognize(`${host}/v1beta/models/:generateContent`)).toBeUndefined();
  });

  it("knows a poll by its id, and that token counts are free", () => {
    expect(recognize("api.openai.com/v1/responses/resp_1", "GET")).toMatchObject({ operation: "fetch_response", responseId: "resp_1" });
    expect(recognize("api.openai.com/v1/batches/batch_1", "GET")).toMatchObject({ operation: "fetch_batch", responseId: "batch_1" });
    expect(recognize("api.anthropic.com/v1/messages/batches/mb_1/results", "GET")).toMatchObject({
      operation: "batch_results",
      responseId: "mb_1",
    });
    expect(recognize("api.anthropic.com/v1/messages/count_tokens")).toMatchObject({ operation: "count_tokens", billable: false });
    expect(recognize("api.openai.com/v1/responses/input_tokens")).toMatchObject({ operation: "count_tokens", billable: false });
  });

  it("takes Bedrock's and Azure's model from the path, whatever is in its name", () => {
    const arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123%3Ainference-profile%2Fus.anthropic.claude-sonnet-5-v1%3A0";
    expect(recognize(`bedrock-runtime.us-east-1.amazonaws.com/model/${arn}/converse-stream`)).toEqual({
      provider: "bedrock",
      shape: "bedrock-converse",
      operation: "chat",
      model: "arn:aws:bedrock:us-east-1:123:inference-profile/us.anthropic.claude-sonnet-5-v1:0",
      streaming: true,
      billable: true,
      injectUsage: false,
    });
    const vpc = "vpce-0a.bedrock-runtime.us-east-1.vpce.amazonaws.com";
    expect(recognize(`${vpc}/model/amazon.nova-pro-v1:0/invoke`)).toMatchObject({ model: "amazon.nova-pro-v1:0", streaming: false });
    expect(recognize("bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/m/count-tokens")).toMatchObject({ billable: false });
    expect(recognize("c.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21")).toMatchObject({
      provider: "azure",
      model: "my gpt",
      injectUsage: true,
    });
  });

  it.each([
    ["2023-12-01-preview", false],
    ["2024-08-01-preview", false],
    ["2024-09-01-preview", true],
    ["2025-04-01", true],
    ["latest", false],
    ["", false],
  ])("asks Azure for usage where the api-version knows how: %j", (version, injectUsage) => {
    const url = `c.cognitiveservices.azure.com/openai/deployments/d/chat/completions?api-version=${version}`;
    expect(recognize(url)).toMatchObject({ injectUsage });
  });

  it("knows WebSockets by their handshake only", () => {
    const handshake = (host: string, path: string, query = ""): Recognition | undefined =>
      known(table.recognize({ host, method: "GET", path, query, upgrade: true }));
    expect(handshake("api.openai.com", "/v1/realtime", "model=gpt-realtime-2")).toMatchObject({
      shape: "openai-realtime",
      model: "gpt-realtime-2",
      webSocket: true,
    });
    expect(handshake("c.openai.azure.com", "/openai/realtime", "api-version=1&deployment=rt")).toMatchObject({ model: "rt" });
    expect(handshake("api.openai.com", "/v1/responses")).toMatchObject({ shape: "openai-responses", streaming: true });
    expect(handshake("chatgpt.com", "/backend-api/codex/responses")).toMatchObject({ shape: "openai-responses" });
    expect(
      handshake(
        "generativelanguage.googleapis.com",
        "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        "key=S",
      ),
    ).toMatchObject({ shape: "google-live" });
    expect(recognize("api.openai.com/v1/responses", "GET")).toBeUndefined();
    expect(handshake("api.openai.com", "/v1/chat/completions")).toBeUndefined();
  });

  it("lets custom domains override built-ins, under any base path", () => {
    const custom = { provider: "custom", shape: "openai-chat", operation: "chat", billable: true, injectUsage: true };
    expect(recognize("llm.corp.example/v1/chat/completions")).toEqual(custom);
    expect(recognize("llm.corp.example/team/a/chat/completions")).toEqual(custom);
    expect(recognize("eu.models.corp.example/chat/completions")).toEqual(custom);
    expect(recognize("api.mistral.ai/v1/chat/completions")).toEqual(custom);
    expect(recognize("llm.corp.example/v1/messages")).toMatchObject({ provider: "custom", shape: "anthropic-messages" });
    expect(recognize("llm.corp.example/health")).toBeUndefined();
  });

  it("finds a route behind a base path of any length, and is done at once where there is none", () => {
    const long = "/a".repeat(30_000);
    expect(recognize(`llm.corp.example${long}/v1/chat/completions`)).toMatchObject({ operation: "chat" });
    expect(recognize(`llm.corp.example${long}`)).toBeUndefined();
    expect(recognize(`gw.azure-api.net${"/openai/deployments".repeat(3000)}`)).toBeUndefined();
  });

  it("takes an operator's own providers first", () => {
    const own = createProviderTable({
      customDomains: ["one.example"],
      providers: [
        { name: "anthropic", hosts: ["one.example"], shape: "anthropic-messages" },
        { name: "acme", hosts: ["two.example"], shape: "google-generate-content" },
        { name: "vllm", hosts: ["three.example"], shape: "openai-chat" },
        { name: "lm-studio", hosts: ["four.example"], shape: "openai-chat", includeUsage: false },
        { name: "ollama", hosts: ["five.example"], shape: "ollama" },
      ],
    });
    expect(recognize("one.example/v1/messages", "POST", own)).toMatchObject({ provider: "anthropic", injectUsage: false });
    expect(recognize("two.example/proxy/v1/models/g:generateContent", "POST", own)).toMatchObject({ provider: "custom", model: "g" });
    expect(recognize("three.example/v1/chat/completions", "POST", own)).toMatchObject({ provider: "custom", injectUsage: true });
    expect(recognize("three.example/v1/messages", "POST", own)).toMatchObject({ shape: "anthropic-messages" });
    expect(recognize("four.example/v1/chat/completions", "POST", own)).toMatchObject({ injectUsage: false });
    expect(recognize("five.example/api/chat", "POST", own)).toMatchObject({ provider: "ollama", shape: "ollama" });
    expect(recognize("five.example/v1/chat/completions", "POST", own)).toMatchObject({ provider: "ollama", shape: "openai-chat" });
  });

  it.each(["https://llm.example", "llm.example:8443", "*", "*.", "a*b.example", "", "llm example", "llm.example/v1", "%00"])(
    "refuses the domain %j",
    (host) => {
      expect(() => createProviderTable({ customDomains: [host] })).toThrow(AppError);
    },
  );

  it("has no host twice and only known providers", () => {
    const hosts = BUILT_IN_PROVIDERS.flatMap((row) => row.hosts);
    expect(new Set(hosts).size).toBe(hosts.length);
    expect(hosts.length).toBeGreaterThan(20);
    for (const row of BUILT_IN_PROVIDERS) expect(PROVIDER_IDS).toContain(row.provider);
  });
});

it("names every host of a built-in provider, and those that differ by customer or region as they are matched", () => {
  const shown = listProviders({ customDomains: [] }).flatMap(({ hosts }) => hosts);
  for (const { provider, hosts, hostPattern, hostNames = [], routes } of BUILT_IN_PROVIDERS) {
    expect(hosts.length + hostNames.length).toBeGreaterThan(0);
    expect(hostPattern === undefined).toBe(hostNames.length === 0);
    for (const name of hostNames) expect(name.replaceAll(/\{\w+\}/g, "some-part")).toMatch(hostPattern ?? /never/);
    expect(shown).toEqual(expect.arrayContaining([...hosts, ...hostNames]));
    expect(routes.length, provider).toBeGreaterThan(0);
  }
});

describe("paths of model hosts that nobody knows", () => {
  it.each([
    ["api.openai.com/v1/responses2", "POST", "openai", "openai-chat"],
    ["api.openai.com/v1/threads/t1/messages", "POST", "openai", "openai-chat"],
    ["api.openai.com/v1/fine_tuning/jobs", "POST", "openai", "openai-chat"],
    ["api.openai.com/v1/files/../chat/next", "POST", "openai", "openai-chat"],
    ["api.anthropic.com/v2/messages", "POST", "anthropic", "anthropic-messages"],
    ["api.anthropic.com/v1/sessions/s1/events", "PUT", "anthropic", "anthropic-messages"],
    ["generativelanguage.googleapis.com/v2/models/gemini-9:generateContent", "POST", "google", "google-generate-content"],
    ["cloudcode-pa.googleapis.com/v1internal:thinkHard", "POST", "google", "google-code-assist"],
    ["bedrock-runtime.eu-west-1.amazonaws.com/agent/a/converse", "POST", "bedrock", "bedrock-converse"],
    ["chatgpt.com/backend-api/codex/next", "POST", "openai", "openai-responses"],
    ["openrouter.ai/api/v1/next", "PATCH", "openrouter", "openai-chat"],
    ["llm.corp.example/v1/next", "POST", "custom", "openai-chat"],
  ])("%s (%s) is a call that nobody knows", (url, method, provider, shape) => {
    expect(recognizeAny(url, method)).toEqual({ provider, shape, operation: "unrecognised", billable: true, injectUsage: false });
  });

  it.each([
    ["api.openai.com/v1/models", "GET"],
    ["api.openai.com/v1/threads/t1", "DELETE"],
    ["api.openai.com/v1/files", "POST"],
    ["api.openai.com/v1/uploads/u1/parts", "POST"],
    ["api.openai.com/v1/responses/r1/cancel", "POST"],
    ["api.openai.com/v1/conversations", "POST"],
    ["api.openai.com/v1/organization/projects", "POST"],
    ["api.anthropic.com/v1/oauth/token", "POST"],
    ["api.anthropic.com/api/event_logging/batch", "POST"],
    ["api.anthropic.com/v1/messages/batches/b1/cancel", "POST"],
    ["generativelanguage.googleapis.com/upload/v1beta/files", "POST"],
    ["generativelanguage.googleapis.com/v1beta/batches/b1:cancel", "POST"],
    ["cloudcode-pa.googleapis.com/v1internal:loadCodeAssist", "POST"],
    ["cloudcode-pa.googleapis.com/v1internal:recordCodeAssistMetrics", "POST"],
    ["cloudcode-pa.googleapis.com/v1internal/operations/o-1", "GET"],
    ["chatgpt.com/backend-api/me", "POST"],
    ["openrouter.ai/login", "POST"],
    ["openrouter.ai/api/v1/auth/keys", "POST"],
    ["corp.azure-api.net/orders", "POST"],
    ["llm.corp.example/api/show", "POST"],
    ["llm.corp.example/tokenize", "POST"],
    ["example.com/v1/next", "POST"],
  ])("%s (%s) makes no model work", (url, method) => {
    expect(recognizeAny(url, method)).toBeUndefined();
  });

  it("takes a WebSocket at an unknown path for a call", () => {
    const handshake = { host: "api.openai.com", method: "GET", path: "/v1/next", query: "", upgrade: true };
    expect(table.recognize(handshake)).toMatchObject({ operation: "unrecognised" });
    expect(table.recognize({ ...handshake, upgrade: false })).toBeUndefined();
  });
});
