import type { ServerResponse } from "node:http";
import { createProviderTable } from "../../src/providers/table.ts";
import { silentLog } from "../../src/base/log.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget } from "./gateway/budget-gate.ts";
import { fetchInside } from "./gateway/client.ts";
import { gatewayFixture } from "./gateway/fixture.ts";
import { testUpstream } from "./gateway/upstream.ts";

/**
 * One of several processes with a gateway on one state: makes so many calls at once against a budget of `limit` requests, and holds
 * every answer until each call was either refused or has reached the provider. Prints `passed N denied N`; then answers, or with
 * `hold` stays until it is killed.
 */
const [file = "", calls = "", limit = "", mode = ""] = process.argv.slice(2);
const HOST = "api.openai.com";
const all = Number(calls);
const held: ServerResponse[] = [];
let denied = 0;
const decided = Promise.withResolvers<void>();
const decide = (): void => {
  if (held.length + denied === all) decided.resolve();
};

await using store = openStore(file, { log: silentLog });
await using upstream = await testUpstream((request, response) => {
  request.resume();
  held.push(response);
  decide();
});
await using fixture = await gatewayFixture({
  allow: [HOST],
  providers: createProviderTable({ customDomains: [] }),
  upstreams: [upstream.override(HOST)],
  limits: { connectionsPerListener: 256, connectionsPerSandbox: 256 },
  gate: budgetGate(store, { budgets: [testBudget("requests", Number(limit))] }),
});
const body = JSON.stringify({ model: "gpt-5-mini", max_tokens: 10, messages: [] });
const answers = Array.from({ length: all }, async () => {
  const { status } = await fetchInside(fixture, `https://${HOST}/v1/chat/completions`, {
    body,
    headers: { "content-type": "application/json" },
  });
  if (status === 403) denied += 1;
  decide();
});
if (mode === "hold") setInterval(() => undefined, 1_000);
await decided.promise;
process.stdout.write(`passed ${held.length} denied ${denied}\n`);
if (mode === "hold") await new Promise(() => undefined);
for (const response of held) response.end("{}");
await Promise.all(answers);
process.stdout.write("done\n");
