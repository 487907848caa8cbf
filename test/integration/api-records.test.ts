import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestServer } from "../support/api-server.ts";
import { llmCall } from "../support/llm-event.ts";
import { waitFor } from "../support/wait-for.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const api: TestServer["api"] = (...args) => server.api(...args);

describe("usage, events, secrets, policy", () => {
  it("shows usage of an unknown sandbox as empty", async () => {
    expect((await api("GET", "/llm/usage/nobody")).body.data).toEqual([]);
    expect((await api("GET", "/llm/usage")).body.data).toEqual({});
    expect((await api("GET", "/llm/usage?by=model&since=1h&all=true")).body.data).toEqual([]);
    expect((await api("DELETE", "/llm/usage/nobody")).status).toBe(200);
    expect((await api("GET", "/llm/providers")).body.data).toMatchObject([{ provider: "openai", source: "built_in" }]);
    expect((await api("GET", "/llm/prices?provider=openai&model=gpt-5*")).body.data).toMatchObject({ currency: "USD", prices: [] });
    expect((await api("GET", "/llm/prices?provider=nobody")).status).toBe(400);
  });

  it("sets, lists and removes a secret without ever showing it", async () => {
    const made = await api("POST", "/secrets", { body: { name: "OPENAI_API_KEY", value: "sk-live" } });
    expect(made.status).toBe(201);
    const listed = await api("GET", "/secrets");
    expect(listed.body.data).toEqual([{ name: "OPENAI_API_KEY", created_at: expect.any(String), updated_at: expect.any(String) }]);
    expect(JSON.stringify([made.body, listed.body])).not.toContain("sk-live");
    expect((await api("DELETE", "/secrets/OPENAI_API_KEY")).status).toBe(200);
    expect((await api("DELETE", "/secrets/OPENAI_API_KEY")).status).toBe(404);
  });

  it("checks a URL against the policy", async () => {
    expect((await api("GET", `/policy/check?url=${encodeURIComponent("https://example.com/a?b")}`)).body.data).toMatchObject({
      url: "https://example.com/a?b",
      verdict: "deny",
    });
  });

  it("streams events, and resumes after the last one seen", async () => {
    const about = {
      type: "admin.change",
      actor: { kind: "user", user_id: "u" },
      outcome: "permit",
      resource_type: "config",
      operation: "reload",
    } as const;
    const stop = new AbortController();
    const feed = server.client.followEvents({ signal: stop.signal });
    const first = feed.next();
    await waitFor(() => server.server.active > 0);
    const emitting = setInterval(() => server.app.emit({ ...about, resource_id: "1" }), 5);
    const seen = await first;
    clearInterval(emitting);
    stop.abort();
    await feed.return(undefined);
    const next = server.app.emit({ ...about, resource_id: "2" });
    const resumed = server.client.followEvents({ afterId: (seen.value as { id: string }).id });
    for await (const event of resumed) if (event.id === next.id) break;
  });

  it("streams model calls only, when asked for them", async () => {
    const response = await fetch(`${server.url}/llm/events`, { headers: { accept: "text/event-stream" } });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    server.app.emit({
      type: "admin.change",
      actor: { kind: "user", user_id: "u" },
      outcome: "permit",
      resource_type: "config",
      resource_id: "x",
      operation: "reload",
    });
    server.app.emit(llmCall());
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    expect(value).toMatch(/^id: evt_\w+\nevent: llm\.call\ndata: \{/);
    await reader.cancel();
  });

  it("refuses an id that is none", async () => {
    expect((await api("GET", "/events", { headers: { "last-event-id": "x y" } })).status).toBe(400);
  });

  it("lists the log, and decisions alone", async () => {
    expect(((await api("GET", "/audit?last=1")).body.data as unknown[]).length).toBe(1);
    expect((await api("GET", "/policy/log")).body.data).toEqual([]);
  });
});
