import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { stat, chmod } from "node:fs/promises";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { createAuthority } from "../../src/egress/tls/authority.ts";
import { fetchInside, openInside, readAll, readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { dnsQuery, gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";
const OTHER = "other.example.com";

test("a new policy ends streams and kept connections whose verdict changed, and no others", async () => {
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/endless") response.write("begin");
    else response.end("ok");
  });
  await using fixture = await gatewayFixture({ allow: [HOST, OTHER], upstreams: [upstream.override(HOST), upstream.override(OTHER)] });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  await fetchInside(fixture, `https://${HOST}/`, { agent });
  const idle = await tlsInside(fixture, HOST);
  const kept = await openInside(fixture, `https://${OTHER}/endless`);
  const cut = await openInside(fixture, `https://${HOST}/endless`);
  const ended = expect(readAll(cut)).rejects.toThrow();
  const closed = once(idle, "close", { signal: AbortSignal.timeout(1_000) });
  fixture.attachment.update({ ...fixture.egress, policy: testPolicy([OTHER], {}, 2) });
  await Promise.all([ended, closed]);
  expect((await fetchInside(fixture, `https://${HOST}/`, { agent })).status).toBe(403);
  expect(kept.destroyed).toBe(false);
  kept.destroy();
  agent.destroy();
  await waitFor(() => fixture.seen.exchanges.some((event) => event.error_code === "POLICY_DENIED"));
});

test("a rule for one path ends only the streams of other paths", async () => {
  await using upstream = await testUpstream((_request, response) => void response.write("begin"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const good = await openInside(fixture, `https://${HOST}/v1/stream`);
  const bad = await openInside(fixture, `https://${HOST}/admin/stream`);
  const ended = expect(readAll(bad)).rejects.toThrow();
  const policy = testPolicy([], { rules: [{ id: "v1", host: HOST, paths: ["/v1/**"], effect: "allow", origin: "operator" }] }, 2);
  fixture.attachment.update({ ...fixture.egress, policy });
  await ended;
  expect(good.destroyed).toBe(false);
  good.destroy();
});

test("a call whose body was still coming when the policy changed is judged again before it leaves", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("never"));
  const model = "api.openai.com";
  await using fixture = await gatewayFixture({
    allow: [model],
    upstreams: [upstream.override(model)],
    providers: createProviderTable({ customDomains: [] }),
  });
  const socket = await tlsInside(fixture, model);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${model}\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"model":`,
  );
  await waitFor(() => fixture.metrics.count("llmStarted") === 1);
  const rules = [{ id: "other", host: model, paths: ["/v1/embeddings"], effect: "allow" as const, origin: "operator" as const }];
  fixture.attachment.update({ ...fixture.egress, policy: testPolicy([], { rules }, 2) });
  socket.write('"m"}');
  expect(await readUntilClose(socket, { enough: (text) => text.includes("policy_denied") })).toMatch(/^HTTP\/1\.1 403 /);
  socket.destroy();
  expect(upstream.connections()).toBe(0);
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(fixture.seen.calls[0]).toMatchObject({ decision: "deny", call_outcome: "denied", model: "m" });
});

test("new names cost a certificate each, and a sandbox does not get them without end", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST], clock: { ...systemClock, monotonic: () => 0 } });
  const port = await fixture.reach(HOST, 443);
  let refused = 0;
  for (let i = 0; i < 260; i += 1) {
    const socket = connect({ host: "127.0.0.1", port, servername: `n${i}.example.com`, ca: fixture.gateway.authorityPem });
    await Promise.race([once(socket, "secureConnect"), once(socket, "error")]).catch(() => (refused += 1));
    socket.on("error", () => undefined);
    socket.destroy();
  }
  // the clock stands still, so no permission comes back meanwhile
  expect([refused, fixture.metrics.count("certificateMinted")]).toEqual([60, 200]);
  await waitFor(() => fixture.seen.decisions.some((event) => event.reason.includes("faster than permitted")));
});

test("a new generation never uses a connection that an older one judged", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("ok"));
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  await fetchInside(fixture, `https://${HOST}/`);
  await fetchInside(fixture, `https://${HOST}/`);
  expect(upstream.connections()).toBe(1);
  fixture.attachment.update({ ...fixture.egress, policy: testPolicy([HOST], {}, 2) });
  await fetchInside(fixture, `https://${HOST}/`);
  expect(upstream.connections()).toBe(2);
});

test("drain waits for what runs, and not longer than it was told", async () => {
  let finish: () => void = () => undefined;
  await using upstream = await testUpstream((_request, response) => {
    response.write("begin");
    finish = () => response.end();
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  const startedAt = performance.now();
  await fixture.attachment.drain(100);
  expect(performance.now() - startedAt).toBeGreaterThan(80);
  expect(fixture.seen.exchanges).toHaveLength(0);
  const drained = fixture.attachment.drain(5_000);
  finish();
  await readAll(response);
  await drained;
  expect(fixture.seen.exchanges).toHaveLength(1);
});

test("disposing ends everything and reports what was running", async () => {
  await using upstream = await testUpstream((_request, response) => void response.write("begin"));
  const fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  const ended = expect(readAll(response)).rejects.toThrow();
  await fixture[Symbol.asyncDispose]();
  await ended;
  expect(fixture.seen.exchanges[0]).toMatchObject({ end: "aborted" });
});

test("a tunnel rule passes TLS unopened and records it", async () => {
  await using upstream = await testUpstream((_request, response) => response.end("pinned"), { name: HOST });
  const policy = testPolicy([], { rules: [{ id: "pinned", host: HOST, effect: "tunnel", origin: "operator" }] });
  await using fixture = await gatewayFixture({ policy, upstreams: [upstream.override(HOST)] });
  const port = await fixture.reach(HOST, 443);
  // the client sees the origin's own certificate
  const ask = request({ host: "127.0.0.1", port, servername: HOST, ca: upstream.override(HOST).ca, headers: { host: HOST }, agent: false });
  ask.end();
  const [response] = (await once(ask, "response")) as [IncomingMessage];
  expect((await readAll(response)).text).toBe("pinned");
  await waitFor(() => fixture.seen.decisions.length === 1);
  expect(fixture.seen.decisions[0]).toMatchObject({
    protocol: "tunnel",
    decision: "allow",
    rule: "pinned",
    host: HOST,
    address: "127.0.0.1",
  });
  expect(fixture.seen.decisions[0]?.bytes_in).toBeGreaterThan(100);
  expect(fixture.seen.exchanges).toHaveLength(0);
});

test("names get stable synthetic addresses, everything else is refused, over UDP and TCP alike", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  const first = await fixture.ask(dnsQuery(HOST));
  const again = await fixture.ask(dnsQuery(HOST.toUpperCase()));
  const other = await fixture.ask(dnsQuery(OTHER));
  const address = (answer: Buffer | undefined): string => [...(answer ?? Buffer.alloc(4)).subarray(-4)].join(".");
  expect(address(first)).toMatch(/^198\.1[89]\./);
  expect(address(again)).toBe(address(first));
  expect(address(other)).not.toBe(address(first));
  for (const type of [28, 64, 65]) {
    const empty = await fixture.ask(dnsQuery(HOST, type));
    expect([empty?.readUInt16BE(6), (empty?.readUInt16BE(2) ?? 15) & 15]).toEqual([0, 0]);
  }
  const refused = await fixture.ask(dnsQuery(HOST, 16));
  expect((refused?.readUInt16BE(2) ?? 0) & 15).toBe(5);
});

test("two processes that make the authority at once agree on one key of mode 0600", async () => {
  await using dir = await tempDir();
  const made = await Promise.all(Array.from({ length: 8 }, () => createAuthority(join(dir.path, "a"), systemClock)));
  expect(new Set(made.map((authority) => authority.certificate)).size).toBe(1);
  expect((await stat(join(dir.path, "a", "authority.pem"))).mode & 0o777).toBe(0o600);
  const ca = new X509Certificate(made[0]?.certificate ?? "");
  const leaf = new X509Certificate(made[0]?.leaf(HOST).certificate ?? "");
  expect(leaf.verify(ca.publicKey)).toBe(true);
  expect(leaf.checkIssued(ca)).toBe(true);
  await chmod(join(dir.path, "a", "authority.pem"), 0o644);
  await expect(createAuthority(join(dir.path, "a"), systemClock)).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
});
