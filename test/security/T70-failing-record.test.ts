import { expect, test } from "vitest";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

// a full disk under the log itself: test/integration/event-log-faults.test.ts
const HOST = "api.openai.com";

test("while nothing can be recorded nothing leaves, and afterwards it does", async () => {
  let reason: string | null = "no space left on device";
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], blocked: () => reason });
  const answer = await fetchInside(fixture, `https://${HOST}/`);
  expect([answer.status, JSON.parse(answer.text).error]).toEqual([503, "audit_unavailable"]);
  expect(upstream.connections()).toBe(0);
  expect(await denials(fixture, "audit")).toMatchObject([{ status: 503, reason, error_code: "AUDIT_UNAVAILABLE" }]);
  reason = null;
  expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(200);
});

test("a reporter that throws denies, and takes nothing down", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreams: [upstream.override(HOST)],
    blocked: () => {
      throw new Error("broken");
    },
  });
  for (let i = 0; i < 3; i += 1) expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(503);
  expect(upstream.connections()).toBe(0);
  expect(await denials(fixture, "audit", 3)).toHaveLength(3);
});

test.each([
  '{"usage":{"prompt_tokens":-5,"completion_tokens":1e999}}',
  '{"usage":{"prompt_tokens":"9","completion_tokens":[1]}}',
  '{"usage":null}',
  `{"usage":${"[".repeat(10_000)}`,
  '{"model":{},"usage":{"total_tokens":9007199254740993}}',
  "\u0000\u0001not json",
])("usage that is none (%#) passes as it came and counts nothing", async (body) => {
  await using upstream = await testUpstream((_request, response) =>
    response.writeHead(200, { "content-type": "application/json" }).end(body),
  );
  await using fixture = await gatewayFixture({
    allow: [HOST],
    upstreams: [upstream.override(HOST)],
    providers: createProviderTable({ customDomains: [] }),
  });
  const answer = await fetchInside(fixture, `https://${HOST}/v1/chat/completions`, {
    method: "POST",
    body: '{"model":"m","messages":[]}',
    headers: { "content-type": "application/json" },
  });
  expect(answer.text).toBe(body);
  await waitFor(() => fixture.seen.calls.length === 1);
  const { input_tokens, output_tokens } = fixture.seen.calls[0] ?? {};
  for (const tokens of [input_tokens, output_tokens]) expect(tokens ?? 0).toBe(0);
});
