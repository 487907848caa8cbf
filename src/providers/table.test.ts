import { describe, expect, it } from "vitest";
import { AppError } from "../base/error.ts";
import { PROVIDER_IDS } from "../schema/provider.ts";
import { BUILT_IN_PROVIDERS } from "./hosts.ts";
import { createProviderTable } from "./table.ts";
import type { Recognition } from "./types.ts";

const table = createProviderTable({ customDomains: ["llm.corp.example", "*.models.corp.example", "api.mistral.ai"] });

function recognize(url: string, method = "POST", from = table): Recognition | undefined {
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

  it("counts neither polls nor token counts", () => {
    expect(recognize("api.openai.com/v1/responses/resp_1", "GET")).toMatchObject({ operation: "fetch_response", billable: false });
    expect(recognize("api.anthropic.com/v1/messages/count_tokens")).toMatchObject({ operation: "count_tokens", billable: false });
    expect(recognize("api.openai.com/v1/responses/input_tokens")).toMatchObject({ operation: "count_tokens", billable: false });
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

  it("takes an operator's own providers first", () => {
    const own = createProviderTable({
      customDomains: ["one.example"],
      providers: [
        { name: "anthropic", hosts: ["one.example"], shape: "anthropic-messages" },
        { name: "acme", hosts: ["two.example"], shape: "google-generate-content" },
      ],
    });
    expect(recognize("one.example/v1/messages", "POST", own)).toMatchObject({ provider: "anthropic", injectUsage: false });
    expect(recognize("two.example/proxy/v1/models/g:generateContent", "POST", own)).toMatchObject({ provider: "custom", model: "g" });
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
