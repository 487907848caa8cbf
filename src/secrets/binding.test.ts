import { describe, expect, it } from "vitest";
import { formatBinding, makeBinding, parseBinding } from "./binding.ts";

const BEARER = { header: "authorization", scheme: "bearer" };

describe("parseBinding", () => {
  it.each([
    ["OPENAI_API_KEY:api.openai.com", { host: "api.openai.com", header: "authorization", scheme: "bearer" }],
    ["ANTHROPIC_API_KEY:api.anthropic.com", { host: "api.anthropic.com", header: "x-api-key", scheme: "raw", others: [BEARER] }],
    ["CLAUDE_CODE_OAUTH_TOKEN:api.anthropic.com", { host: "api.anthropic.com", header: "authorization", scheme: "bearer" }],
    [
      "GEMINI_API_KEY:generativelanguage.googleapis.com",
      { host: "generativelanguage.googleapis.com", header: "x-goog-api-key", scheme: "raw", others: [BEARER] },
    ],
    ["AZURE:me.openai.azure.com", { host: "me.openai.azure.com", header: "api-key", scheme: "raw", others: [BEARER] }],
    ["AZURE:*.openai.azure.com", { host: "*.openai.azure.com", header: "api-key", scheme: "raw", others: [BEARER] }],
    ["A:evil-openai.azure.com.evil.com", { host: "evil-openai.azure.com.evil.com", header: "authorization", scheme: "bearer" }],
    ["K:API.Example.COM.", { host: "api.example.com", header: "authorization", scheme: "bearer" }],
    ["K:a.com:X-Token", { host: "a.com", header: "x-token", scheme: "raw" }],
    ["K:api.anthropic.com:Authorization", { host: "api.anthropic.com", header: "authorization", scheme: "bearer" }],
    ["K:localhost:x-token", { host: "localhost", header: "x-token", scheme: "raw" }],
    ["K:[::1]:x-token", { host: "[::1]", header: "x-token", scheme: "raw" }],
    ["K:[::1]", { host: "[::1]", header: "authorization", scheme: "bearer" }],
  ])("reads %j", (text, expected) => {
    for (const source of ["cli", "api"] as const) {
      const { binding, value } = parseBinding(text, source);
      expect(binding).toEqual({ name: text.split(":")[0], ...expected });
      expect(value).toBeUndefined();
    }
  });

  it.each([
    ["K=v:a.com", "v", "a.com", "authorization"],
    ["K=v:a.com:x-token", "v", "a.com", "x-token"],
    ["K=user:pass:a.com", "user:pass", "a.com", "authorization"],
    ["K=user:pass:a.com:x-token", "user:pass", "a.com", "x-token"],
    ["K=v:localhost", "v", "localhost", "authorization"],
    ["K=sk.abc:localhost", "sk.abc", "localhost", "authorization"],
    ["K=a=b==:a.com", "a=b==", "a.com", "authorization"],
    ["K=https://u:p@h:a.com", "https://u:p@h", "a.com", "authorization"],
    ["K=v:[::1]:x-token", "v", "[::1]", "x-token"],
  ])("reads %j from the API", (text, value, host, header) => {
    const parsed = parseBinding(text, "api");
    expect(parsed.value?.reveal()).toBe(value);
    expect(parsed.binding).toMatchObject({ name: "K", host, header });
  });

  it("shows the line that keeps a value off the command line, without the value", () => {
    const parse = () => parseBinding("OPENAI_API_KEY=sk-real:api.openai.com", "cli");
    expect(parse).toThrow(
      expect.objectContaining({
        code: "VALIDATION",
        hint: "agentkernel secret set OPENAI_API_KEY, then --secret OPENAI_API_KEY:HOST",
        message: expect.not.stringContaining("sk-real"),
      }),
    );
  });

  it.each([
    [""],
    [":"],
    ["K"],
    ["K:"],
    ["K="],
    ["K=v"],
    ["K=:a.com"],
    ["1K:a.com"],
    ["K L:a.com"],
    ["sk-real-secret"],
    ["K:https://a.com"],
    ["K:a.com/v1"],
    ["K:a.com:8443"],
    ["K:a.com:443"],
    ["K:a b.com"],
    ["K:a.com\r\nX: y"],
    ["K:münchen.de"],
    ["K:a.com:x token"],
    ["K:a.com:Host"],
    ["K:a.com:content-length"],
    ["K:a.com:Transfer-Encoding"],
    ["K:a.com:connection"],
    ["K:a.com:proxy-authorization"],
    ["K:a.com:sec-websocket-key"],
    ["K:a.com:x\ny"],
    ["K:*"],
    ["K:a*b"],
    ["K:a.com:"],
    ["K:a:b:c:d"],
    ["K=v:http://a.com"],
  ])("refuses %j and repeats no value", (text) => {
    const parse = () => parseBinding(text, "api");
    expect(parse).toThrow(expect.objectContaining({ code: "VALIDATION", message: expect.not.stringMatching(/\n|sk-real/) }));
  });

  it("formats to what it reads the same, without the value", () => {
    for (const text of [
      "K:a.com",
      "K:a.com:x-token",
      "ANTHROPIC_API_KEY:api.anthropic.com",
      "K:api.anthropic.com:authorization",
      "AZURE:*.openai.azure.com",
    ]) {
      expect(formatBinding(parseBinding(text, "api").binding)).toBe(text);
    }
    expect(formatBinding(parseBinding("K=secret:a.com", "api").binding)).toBe("K:a.com");
  });
});

describe("makeBinding", () => {
  it("takes an explicit scheme over the header's", () => {
    expect(makeBinding({ name: "K", host: "a.com", header: "Authorization", scheme: "raw" })).toEqual({
      name: "K",
      host: "a.com",
      header: "authorization",
      scheme: "raw",
    });
    expect(makeBinding({ name: "K", host: "a.com", scheme: "raw" })).toMatchObject({ header: "authorization", scheme: "raw" });
  });
});

describe("makeBinding with a scope", () => {
  it("keeps methods, paths and query, and shows them", () => {
    const binding = makeBinding({ name: "K", host: "a.com", methods: ["get"], paths: ["/v1/**"], query: "key" });
    expect(binding).toMatchObject({ methods: ["GET"], paths: ["/v1/**"], query: "key", header: "authorization" });
    expect(formatBinding(binding)).toBe("K:a.com (methods GET; paths /v1/**; query key)");
    expect(formatBinding(makeBinding({ name: "K", host: "a.com", paths: [] }))).toBe("K:a.com (paths none)");
  });

  it("refuses a query for what signs", () => {
    const parts = { name: "AWS_SECRET_ACCESS_KEY", host: "*.amazonaws.com", scheme: "sigv4", query: "key" } as const;
    expect(() => makeBinding(parts)).toThrow(/signs requests, and goes into no parameter of a query/);
  });

  it.each([{ methods: ["GET /"] }, { paths: ["v1"] }, { paths: ["/a?b"] }, { query: "a=b" }])("refuses %j", (scope) => {
    expect(() => makeBinding({ name: "K", host: "a.com", ...scope })).toThrowError(expect.objectContaining({ code: "VALIDATION" }));
  });
});
