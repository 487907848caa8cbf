import { describe, expect, it } from "vitest";
import { Secret } from "../../base/secret.ts";
import { parseHost } from "../../policy/host.ts";
import type { GatewaySecret } from "../options.ts";
import { SecretScopes } from "./secret-scope.ts";

const scopes = new SecretScopes();
const make = (over: Partial<GatewaySecret> = {}): GatewaySecret => ({
  name: "KEY",
  placeholder: "placeholder-placeholder",
  value: new Secret("value-value-value"),
  host: "*.example.com",
  header: "authorization",
  scheme: "bearer",
  ...over,
});

function permits(secret: GatewaySecret, line: string): boolean {
  const [method = "", url = ""] = line.split(" ");
  const { hostname, pathname } = new URL(`https://${url}`);
  const host = parseHost(hostname);
  if (host.kind === "invalid") throw new Error(host.reason);
  return scopes.refusal(secret, method, { scheme: "https", host, port: 443, path: pathname, query: "" }) === undefined;
}

/** What clients of these hosts do all day, and agents with them. */
const USUAL = [
  "POST api.openai.com/v1/chat/completions",
  "POST api.openai.com/v1/responses",
  "GET api.openai.com/v1/responses",
  "GET api.openai.com/v1/responses/resp_1",
  "POST api.openai.com/v1/responses/resp_1/cancel",
  "POST api.openai.com/v1/responses/compact",
  "POST api.openai.com/v1/embeddings",
  "GET api.openai.com/v1/models",
  "GET api.openai.com/v1/models/gpt-5",
  "POST api.openai.com/v1/images/generations",
  "POST api.openai.com/v1/audio/transcriptions",
  "GET api.openai.com/v1/realtime",
  "POST api.openai.com/v1/files",
  "GET api.openai.com/v1/files/file-1/content",
  "POST eu.api.openai.com/v1/responses",
  "POST api.anthropic.com/v1/messages",
  "POST api.anthropic.com/v1/messages/count_tokens",
  "GET api.anthropic.com/v1/models",
  "POST api.anthropic.com/v1/files",
  "GET api.anthropic.com/api/oauth/profile",
  "POST generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent",
  "GET generativelanguage.googleapis.com/v1beta/models",
  "POST generativelanguage.googleapis.com/v1beta/openai/chat/completions",
  "POST generativelanguage.googleapis.com/upload/v1beta/files",
  "POST api.deepseek.com/chat/completions",
  "POST api.deepseek.com/anthropic/v1/messages",
  "POST api.groq.com/openai/v1/chat/completions",
  "POST api.mistral.ai/v1/chat/completions",
  "POST codestral.mistral.ai/v1/fim/completions",
  "POST api.cohere.com/v2/chat",
  "POST api.x.ai/v1/responses",
  "POST openrouter.ai/api/v1/chat/completions",
  "GET openrouter.ai/api/v1/models/openai/gpt-5/endpoints",
  "POST mine.openai.azure.com/openai/deployments/gpt/chat/completions",
  "POST mine.openai.azure.com/openai/v1/responses",
  "POST api.openai.com/v1/batches",
  "GET api.openai.com/v1/batches/batch_1",
  "POST api.openai.com/v1/videos",
  "GET api.openai.com/v1/live",
  "GET api.anthropic.com/v1/messages/batches/msgbatch_1/results",
  "POST generativelanguage.googleapis.com/v1beta/interactions",
  "POST api.mistral.ai/v1/batch/jobs",
  "POST api.cohere.com/v2/parse",
  "POST api.cerebras.ai/v1/chat/completions",
  "POST api.moonshot.ai/v1/chat/completions",
  "POST bedrock-runtime.eu-west-1.amazonaws.com/model/us.anthropic.claude-opus-4-6-v1:0/converse-stream",
  "POST bedrock-mantle.us-east-1.api.aws/openai/v1/responses",
];

/** Administration, other people's data, money. */
const NOT_USUAL = [
  "GET api.openai.com/v1/organization/admin_api_keys",
  "POST api.openai.com/v1/organization/projects/p/api_keys",
  "GET api.openai.com/v1/organization/costs",
  "GET api.openai.com/dashboard/billing/subscription",
  "GET api.openai.com/v1/files",
  "GET api.openai.com/v1/chat/completions",
  "DELETE api.openai.com/v1/models/ft:mine",
  "POST api.openai.com/v1/fine_tuning/jobs",
  "GET api.openai.com/v1/batches",
  "GET api.openai.com/v1/videos",
  "GET api.anthropic.com/v1/messages/batches",
  "POST api.openai.com/v1/realtime/client_secrets",
  "GET api.anthropic.com/v1/organizations/api_keys",
  "POST api.anthropic.com/api/oauth/claude_cli/create_api_key",
  "GET api.anthropic.com/v1/files",
  "GET generativelanguage.googleapis.com/v1beta/files",
  "GET api.deepseek.com/user/balance",
  "GET openrouter.ai/api/v1/credits",
  "POST openrouter.ai/api/v1/keys",
  "GET mine.openai.azure.com/openai/files",
  "GET api.cerebras.ai/v1/account",
  "GET api.moonshot.ai/v1/users/me/balance",
  "PUT bedrock-runtime.eu-west-1.amazonaws.com/model/x/converse",
  "GET bedrock-runtime.eu-west-1.amazonaws.com/async-invoke",
];

describe("a key without paths", () => {
  it.each(USUAL)("may %s", (line) => expect(permits(make(), line)).toBe(true));
  it.each(NOT_USUAL)("may not %s", (line) => expect(permits(make(), line)).toBe(false));
  it("may do everything on a host that is no model API", () =>
    expect(permits(make(), "DELETE git.example.com/api/v4/projects/1")).toBe(true));
  it('may do everything everywhere with paths = ["/**"]', () => {
    for (const line of [...USUAL, ...NOT_USUAL]) expect(permits(make({ paths: ["/**"] }), line)).toBe(true);
  });
});

describe("a key with lists", () => {
  it("may what both name, and nothing where one is empty", () => {
    const narrow = make({ methods: ["GET"], paths: ["/repos/**"] });
    expect(
      ["GET a.example.com/repos/x", "POST a.example.com/repos/x", "GET a.example.com/user"].map((line) => permits(narrow, line)),
    ).toEqual([true, false, false]);
    expect(permits(make({ methods: [] }), "GET a.example.com/")).toBe(false);
    expect(permits(make({ paths: [] }), "GET a.example.com/")).toBe(false);
  });

  it("may not where servers disagree on what a path names", () => {
    expect(permits(make({ paths: ["/repos/**"] }), "GET a.example.com/repos/a%2fb")).toBe(false);
    expect(permits(make(), "POST api.openai.com/v1//chat/completions")).toBe(false);
  });

  it("keeps the host's own list where only methods are named", () => {
    const post = make({ methods: ["POST"] });
    expect([permits(post, "POST api.openai.com/v1/responses"), permits(post, "POST api.openai.com/v1/fine_tuning/jobs")]).toEqual([
      true,
      false,
    ]);
  });
});
