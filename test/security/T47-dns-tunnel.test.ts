import { once } from "node:events";
import { createServer } from "node:net";
import { createSocket } from "node:dgram";
import { expect, test } from "vitest";
import { gatewayFixture, dnsQuery, testPolicy } from "../support/gateway/fixture.ts";
import { countingMetrics } from "../support/gateway/metrics.ts";
import { createGateway } from "../../src/egress/gateway.ts";
import { LIMITS, noProviders } from "../support/gateway/fixture.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { tempDir } from "../support/temp.ts";
import { connect, type AddressInfo } from "node:net";
import { waitFor } from "../support/wait-for.ts";

test("a thousand names of data cause no upstream query, are limited in rate, and stand in the audit without flooding it", async () => {
  let resolved = 0;
  await using fixture = await gatewayFixture({ allow: ["allowed.example.com"], resolve: () => ((resolved += 1), Promise.resolve([])) });
  const limited = (): boolean => fixture.seen.decisions.some((event) => event.reason.includes("faster than permitted"));
  let asked = 0;
  let answered = 0;
  // in waves, so that it is the gateway that drops and not the kernel's socket buffer
  while (asked < 1000 && !limited()) {
    const names = Array.from({ length: 50 }, (_, i) => `${(asked + i).toString(16).padStart(8, "0")}${"d".repeat(50)}.evil.com`);
    asked += names.length;
    const answers = await Promise.all(names.map((name) => fixture.ask(dnsQuery(name))));
    answered += answers.filter((answer) => answer !== undefined).length;
  }
  expect(limited()).toBe(true);
  expect(resolved).toBe(0);
  expect(answered).toBeGreaterThan(100);
  expect(answered).toBeLessThan(asked);
  expect(fixture.seen.decisions.length).toBeLessThan(20);
  expect(fixture.seen.decisions.some((event) => event.protocol === "dns" && event.rule === "default")).toBe(true);
  await fixture[Symbol.asyncDispose]();
  // what was folded is counted at the end
  expect(fixture.seen.decisions.reduce((sum, event) => sum + (event.count ?? 1), 0)).toBe(asked);
});

test.each([
  ["TXT", 16],
  ["NULL", 10],
  ["ANY", 255],
  ["MX", 15],
  ["AXFR", 252],
])("type %s carries nothing", async (_name, type) => {
  await using fixture = await gatewayFixture({ allow: ["allowed.example.com"] });
  const answer = await fixture.ask(dnsQuery("allowed.example.com", type));
  expect([(answer?.readUInt16BE(2) ?? 0) & 15, answer?.readUInt16BE(6)]).toEqual([5, 0]);
  await waitFor(() => fixture.seen.decisions.some((event) => event.protocol === "dns" && event.decision === "deny"));
});

test("TCP 53 answers the same, tolerates EDNS, and closes on nonsense", async () => {
  await using dir = await tempDir();
  const report = {
    exchange: () => undefined,
    decision: () => undefined,
    llm: () => undefined,
    finding: () => undefined,
    blocked: () => null,
  };
  await using gateway = await createGateway({
    authorityDir: dir.path,
    upstreams: [],
    providers: noProviders,
    includeUsage: "off",
    costOf: () => null,
    metrics: countingMetrics(),
    log: silentLog,
    clock: systemClock,
    limits: LIMITS,
    report,
  });
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const dns = createSocket("udp4");
  dns.bind(0, "127.0.0.1");
  await once(dns, "listening");
  const egress = { uuid: "u", name: "box", labels: {}, policy: testPolicy([]), secrets: [], upstreams: [] };
  await using _attachment = gateway.attach(egress, { tcp: new Map([[53, server]]), dns });
  const { port } = server.address() as AddressInfo;
  const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
  const plain = dnsQuery("a.example.com");
  const edns = Buffer.concat([dnsQuery("a.example.com"), Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])]);
  edns.writeUInt16BE(1, 10);
  const socket = connect(port, "127.0.0.1");
  // two at once, split in the middle
  const both = Buffer.concat([framed(plain), framed(edns)]);
  socket.write(both.subarray(0, 9));
  socket.write(both.subarray(9));
  let got = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => (got = Buffer.concat([got, chunk])));
  await waitFor(() => got.length >= 2 && got.length >= 2 + got.readUInt16BE(0) + 2 + 40);
  const first = got.subarray(2, 2 + got.readUInt16BE(0));
  const second = got.subarray(4 + first.length);
  expect(first.readUInt16BE(6)).toBe(1);
  expect(second.readUInt16BE(6)).toBe(1);
  expect(second.readUInt16BE(10)).toBe(1);
  const closed = once(socket, "close");
  socket.write(Buffer.from([0xff, 0xff, 1, 2, 3]));
  await closed;
});
