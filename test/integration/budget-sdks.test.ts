import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget } from "../support/gateway/budget-gate.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { type Fixture, gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOSTS = ["api.openai.com", "api.anthropic.com"];

/** What the clients of two providers do, with the way out of a sandbox as their network. */
async function setting() {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const upstream = stack.use(await testUpstream((_request, response) => response.end("{}")));
  const fixture = stack.use(
    await gatewayFixture({
      allow: HOSTS,
      providers: createProviderTable({ customDomains: [] }),
      upstreams: HOSTS.map((host) => upstream.override(host)),
      gate: budgetGate(store, { budgets: [testBudget("requests", 0, { id: "spent" })] }),
    }),
  );
  const owned = stack.move();
  return { fixture, upstream, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function fetchThrough(fixture: Fixture): { readonly fetch: typeof fetch; readonly tries: () => number } {
  let tries = 0;
  return {
    tries: () => tries,
    fetch: async (input, init) => {
      tries += 1;
      const headers = Object.fromEntries(new Headers(init?.headers).entries());
      const url = input instanceof Request ? input.url : String(input);
      const answer = await fetchInside(fixture, url, { body: typeof init?.body === "string" ? init.body : "", headers });
      return new Response(answer.text, { status: answer.status, headers: answer.headers as Record<string, string> });
    },
  };
}

test.each([false, true])("a budget that is spent stops the OpenAI client at its first try (stream: %s)", async (stream) => {
  await using at = await setting();
  const { fetch, tries } = fetchThrough(at.fixture);
  const client = new OpenAI({ apiKey: "placeholder", fetch, maxRetries: 3 });
  const refused = await client.chat.completions.create({ model: "gpt-5-mini", messages: [{ role: "user", content: "hi" }], stream }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(refused).toBeInstanceOf(OpenAI.PermissionDeniedError);
  expect(refused).toMatchObject({ status: 403, message: expect.stringContaining("the budget spent (global) leaves 0 requests") });
  expect(tries()).toBe(1);
  expect(at.upstream.requests).toEqual([]);
});

test.each([false, true])("a budget that is spent stops the Anthropic client at its first try (stream: %s)", async (stream) => {
  await using at = await setting();
  const { fetch, tries } = fetchThrough(at.fixture);
  const client = new Anthropic({ apiKey: "placeholder", fetch, maxRetries: 3 });
  const refused = await client.messages
    .create({ model: "claude-opus-4-6", max_tokens: 10, messages: [{ role: "user", content: "hi" }], stream })
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  expect(refused).toBeInstanceOf(Anthropic.PermissionDeniedError);
  expect(refused).toMatchObject({ status: 403, message: expect.stringContaining("the budget spent (global) leaves 0 requests") });
  expect(tries()).toBe(1);
  expect(at.upstream.requests).toEqual([]);
});
