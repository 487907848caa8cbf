import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { budgetGate, testBudget } from "../support/gateway/budget-gate.ts";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "api.openai.com";
const MIB = 1024 ** 2;
const MEMBERS = 64;

/** 1 GiB of white space behind a model, in about 1 MB: as many members as it takes, each valid by itself. */
const bomb = Buffer.concat([
  gzipSync('{"model":"gpt-5-mini","stream":true,'),
  ...Array.from({ length: MEMBERS }, () => gzipSync(Buffer.alloc(16 * MIB, 0x20))),
]);

const CASES = [
  ["a budget refuses it", true, 403],
  ["nothing limits it, so it passes as it is", false, 200],
] as const;

test.each(PROTOCOLS.flatMap((protocol) => CASES.map(([name, isLimited, status]) => [name, protocol, isLimited, status] as const)))(
  "V21: a compressed request that unfolds to 1 GiB costs neither memory nor time: %s (%s)",
  { timeout: 30_000 },
  async (_name, protocol, isLimited, status) => {
    await using stack = new AsyncDisposableStack();
    const store = stack.use(openStore(":memory:", { log: silentLog }));
    let got = 0;
    const upstream = stack.use(
      await testUpstream((request, response) => {
        request.on("data", (chunk: Buffer) => (got += chunk.length));
        request.on("end", () => response.end("{}"));
      }),
    );
    const fixture = stack.use(
      await gatewayFixture({
        allow: [HOST],
        providers: createProviderTable({ customDomains: [] }),
        upstreams: [upstream.override(HOST)],
        ...(isLimited ? { gate: budgetGate(store, { budgets: [testBudget("tokens", 1_000_000)] }) } : {}),
      }),
    );
    const before = process.memoryUsage.rss();
    const cpu = process.cpuUsage();
    const answer = await fetchOver(protocol, fixture, `https://${HOST}/v1/chat/completions`, {
      body: bomb,
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
    });
    const { user, system } = process.cpuUsage(cpu);
    expect(answer.status).toBe(status);
    expect(got).toBe(isLimited ? 0 : bomb.length);
    expect((process.memoryUsage.rss() - before) / MIB).toBeLessThan(200);
    // unfolding all of it takes several times as long
    expect((user + system) / 1e6).toBeLessThan(5);
    expect(fixture.seen.calls).toHaveLength(1);
  },
);
