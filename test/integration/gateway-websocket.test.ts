import { once } from "node:events";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { silentLog } from "../../src/base/log.ts";
import { budgetGate, testBudget } from "../support/gateway/budget-gate.ts";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "ws.example.com";

test("a WebSocket passes when policy allows its handshake, in both directions, and ends with the policy", async () => {
  await using upstream = await testUpstream((_request, response) => response.writeHead(426).end());
  const echo = new WebSocketServer({ server: upstream.server });
  echo.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const socket = await tlsInside(fixture, HOST);
  const client = new WebSocket(`wss://${HOST}/live?token=s3cr3t`, { createConnection: () => socket });
  await once(client, "open", { signal: AbortSignal.timeout(20_000) });
  const big = Buffer.alloc(300_000, 7);
  client.send(big);
  const [message] = (await once(client, "message")) as [Buffer];
  expect(message.equals(big)).toBe(true);
  const closed = once(client, "close", { signal: AbortSignal.timeout(1_000) });
  client.on("error", () => undefined);
  fixture.attachment.update({ ...fixture.egress, policy: testPolicy([], {}, 2) });
  await closed;
  await waitFor(() => fixture.seen.exchanges.length === 1);
  expect(fixture.seen.exchanges[0]).toMatchObject({ protocol: "websocket", status: 101, decision: "allow" });
  expect(fixture.seen.exchanges[0]?.bytes_out).toBeGreaterThan(300_000);
  expect(fixture.seen.exchanges[0]?.bytes_in).toBeGreaterThan(300_000);
  expect(fixture.seen.exchanges[0]?.url).not.toContain("s3cr3t");
  echo.close();
});

test("an upgrade that the upstream refuses is its answer; one that policy refuses never leaves", async () => {
  await using upstream = await testUpstream((_request, response) =>
    response.writeHead(426, { upgrade: "websocket" }).end("no sockets here"),
  );
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const handshake = (host: string): string =>
    `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  const allowed = await tlsInside(fixture, HOST);
  allowed.write(handshake(HOST));
  expect(await readUntilClose(allowed)).toMatch(/^HTTP\/1\.1 426 [\s\S]*no sockets here/);
  const denied = await tlsInside(fixture, "other.example.com");
  denied.write(handshake("other.example.com"));
  expect(await readUntilClose(denied)).toMatch(/^HTTP\/1\.1 403 [\s\S]*policy_denied/);
  expect(upstream.requests).toHaveLength(1);
});

test("a WebSocket at an unknown path of a model host is one call: recorded, and refused where its use would have to be known", async () => {
  const host = "api.openai.com";
  await using stack = new AsyncDisposableStack();
  const store = stack.use(openStore(":memory:", { log: silentLog }));
  const upstream = stack.use(await testUpstream((_request, response) => response.writeHead(426).end()));
  const echo = new WebSocketServer({ server: upstream.server });
  stack.defer(() => echo.close());
  const budgets = [testBudget("requests", 5)];
  const fixture = stack.use(
    await gatewayFixture({
      allow: [host],
      upstreams: [upstream.override(host)],
      providers: createProviderTable({ customDomains: [] }),
      gate: budgetGate(store, { budgets }),
    }),
  );
  const url = `wss://${host}/v1/next`;
  const first = await tlsInside(fixture, host);
  const client = new WebSocket(url, { createConnection: () => first });
  await once(client, "open", { signal: AbortSignal.timeout(20_000) });
  client.close();
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls).toMatchObject([{ operation: "unrecognised", status: 101, call_outcome: "ok", usage_source: "none" }]);
  budgets.push(testBudget("tokens", 1_000_000));
  const second = await tlsInside(fixture, host);
  const [error] = (await once(new WebSocket(url, { createConnection: () => second }), "error")) as [Error];
  expect(error.message).toContain("403");
  expect(fixture.seen.calls[1]).toMatchObject({ operation: "unrecognised", call_outcome: "denied" });
});
