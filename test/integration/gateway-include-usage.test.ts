import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

/** B1 to B3: usage is asked for and taken out again where a provider takes the option, and nowhere else. */

const BODY = '{ "model":"m", "top_p":1.0, "messages":[], "stream" : true, "user":"a","user":"b" }';
const ASKED = '{"stream_options":{"include_usage":true}, "model":"m", "top_p":1.0, "messages":[], "stream" : true, "user":"a","user":"b" }';
const BEFORE = 'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"Hé"},"text":"Hé"}],"obfuscation":"a8Fq"}\r\n\r\n';
const USAGE = 'data: {"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":57,"completion_tokens":9,"total_tokens":66}}\r\n\r\n';
const AFTER = ": bye\n\ndata: [DONE]\n\n";

const INJECTED = [
  "api.openai.com/v1/chat/completions",
  "eu.api.openai.com/v1/completions",
  "corp.openai.azure.com/openai/deployments/d/chat/completions?api-version=2025-04-01-preview",
  "corp.openai.azure.com/openai/v1/chat/completions",
  "api.deepseek.com/chat/completions",
  "api.deepseek.com/beta/completions",
  "api.x.ai/v1/chat/completions",
  "api.moonshot.ai/v1/chat/completions",
  "vllm.corp.example/v1/chat/completions",
  "vllm.corp.example/any/base/completions",
  "ollama.corp.example/v1/chat/completions",
  "llm.corp.example/v1/chat/completions",
];
const LEFT_ALONE = [
  "api.mistral.ai/v1/chat/completions",
  "api.groq.com/openai/v1/chat/completions",
  "api.together.ai/v1/chat/completions",
  "api.fireworks.ai/inference/v1/chat/completions",
  "openrouter.ai/api/v1/chat/completions",
  "api.cohere.com/compatibility/v1/chat/completions",
  "api.cohere.com/v2/chat",
  "generativelanguage.googleapis.com/v1beta/openai/chat/completions",
  "api.githubcopilot.com/chat/completions",
  "bedrock-mantle.us-east-1.api.aws/openai/v1/chat/completions",
  "corp.openai.azure.com/openai/deployments/d/chat/completions?api-version=2023-12-01-preview",
  "api.openai.com/v1/responses",
  "api.openai.com/v1/embeddings",
  "corp.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
  "api.anthropic.com/v1/messages",
  "lm.corp.example/v1/chat/completions",
];

const providers = createProviderTable({
  customDomains: ["llm.corp.example"],
  providers: [
    { name: "vllm", hosts: ["vllm.corp.example"], shape: "openai-chat" },
    { name: "ollama", hosts: ["ollama.corp.example"], shape: "ollama" },
    { name: "lm", hosts: ["lm.corp.example"], shape: "openai-chat", includeUsage: false },
  ],
});

test.each([...INJECTED.map((url) => [url, true] as const), ...LEFT_ALONE.map((url) => [url, false] as const)])(
  "%s: asked for and taken out: %s",
  async (url, isInjected) => {
    const host = url.slice(0, url.indexOf("/"));
    let asked = "";
    await using upstream = await testUpstream((request, response) => {
      request.setEncoding("utf8").on("data", (text: string) => (asked += text));
      request.on("end", () => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(BEFORE + USAGE + AFTER);
      });
    });
    await using fixture = await gatewayFixture({ allow: [host], providers, upstreams: [upstream.override(host)] });
    const headers = { "content-type": "application/json", "accept-encoding": "gzip, br" };
    const { text } = await fetchInside(fixture, `https://${url}`, { body: BODY, headers });
    expect(asked).toBe(isInjected ? ASKED : BODY);
    // where it was not asked for it is the client's own, or the provider's
    expect(text).toBe(isInjected ? BEFORE + AFTER : BEFORE + USAGE + AFTER);
    const sent = upstream.requests[0]?.rawHeaders ?? [];
    const of = (name: string): string | undefined => sent[sent.findIndex((header) => header.toLowerCase() === name) + 1];
    expect(of("accept-encoding")).toBe(isInjected ? "identity" : "gzip, br");
    expect(of("content-length")).toBe(String(Buffer.byteLength(asked)));
    await waitFor(() => fixture.seen.calls.length === 1);
    if (isInjected) expect(fixture.seen.calls[0]).toMatchObject({ input_tokens: 57, output_tokens: 9, usage_source: "reported" });
  },
);
