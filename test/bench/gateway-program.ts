/**
 * Our gateway as `serve` runs it: a policy, a bound secret, metering, prices, metrics, the event log and the
 * ledger on disk. Only the listeners are of another kind: on 127.0.0.1, since no sandbox is needed for these figures.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { EGRESS_LIMITS } from "../../src/app/egress/lazy-gateway.ts";
import { LedgerWriter } from "../../src/app/llm/ledger-writer.ts";
import { Reporter } from "../../src/app/audit/reporter.ts";
import { systemClock } from "../../src/base/clock.ts";
import { newUuid } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { Secret } from "../../src/base/secret.ts";
import { createGateway, type Gateway, type SandboxEgress } from "../../src/egress/gateway.ts";
import { openEventLog } from "../../src/events/open-log.ts";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { openStore } from "../../src/store/open-store.ts";
import { createCostOf, loadPrices } from "../../src/usage/genai-prices.ts";
import { dnsQuery, noProviders, testPolicy } from "../support/gateway/fixture.ts";
import { hookDelivery } from "./hook-delivery.ts";
import { parameters, serve } from "./program.ts";
import { LLM_HOST, PLACEHOLDER, PLAIN_HOST, REAL_KEY } from "./traffic.ts";

export type GatewayParameters = {
  readonly home: string;
  readonly upstream: { readonly port: number; readonly ca: string };
  readonly isMetering: boolean;
  readonly sandboxes: number;
};
export type GatewayReady = {
  readonly ca: string;
  /** one listener for each sandbox, by host */
  readonly ports: { readonly llm: readonly number[]; readonly plain: readonly number[] };
};
export type GatewayState = { readonly cpuMs: number; readonly rss: number; readonly peakRss: number; readonly recorded: number };

const options = parameters<GatewayParameters>();
// as in the product: without its prices the gateway does not begin
loadPrices();
const { home } = options;
const [clock, log, metrics] = [systemClock, silentLog, createMetrics()];
for (const name of ["authority", "events"]) mkdirSync(join(home, name), { mode: 0o700 });
const stack = new AsyncDisposableStack();
const store = stack.use(openStore(join(home, "state.db"), { log }));
const events = stack.use(
  await openEventLog({ dir: join(home, "events"), keyFile: join(home, "audit.key"), clock, log, hostname: "bench" }),
);
const hook = stack.use(hookDelivery({ home, events, clock }));
const ledger = stack.use(new LedgerWriter(store.ledger, log));
const reporter = new Reporter({ events, ledger, metrics, log, onFailure: "deny" });
stack.defer(() => reporter.settled());
const gateway = stack.use(
  await createGateway({
    authorityDir: join(home, "authority"),
    upstreams: [],
    providers: options.isMetering ? createProviderTable({ customDomains: [] }) : noProviders,
    includeUsage: "inject_strip",
    costOf: createCostOf(),
    limits: EGRESS_LIMITS,
    report: reporter.egress,
    metrics,
    log,
    clock,
  }),
);

const ports: { llm: number[]; plain: number[] } = { llm: [], plain: [] };
for (let i = 0; i < options.sandboxes; i += 1) await attach(gateway, i);

async function attach(to: Gateway, index: number): Promise<void> {
  const { port, ca } = options.upstream;
  const secret = { name: "OPENAI_API_KEY", host: LLM_HOST, header: "authorization", scheme: "bearer" } as const;
  const egress: SandboxEgress = {
    uuid: newUuid(),
    name: `bench-${index}`,
    labels: {},
    policy: testPolicy([LLM_HOST, PLAIN_HOST]),
    secrets: [{ ...secret, placeholder: PLACEHOLDER, value: new Secret(REAL_KEY) }],
    upstreams: [LLM_HOST, PLAIN_HOST].map((host) => ({ host, url: new URL(`https://localhost:${port}`), ca })),
  };
  const dns = createSocket("udp4").bind(0, "127.0.0.1");
  await once(dns, "listening");
  const listeners = { [LLM_HOST]: await listen(), [PLAIN_HOST]: await listen() };
  const destinations = new Map<number, { readonly address: string; readonly port: number }>();
  const tcp = new Map(Object.values(listeners).map((server, i) => [443 + i, server]));
  stack.use(to.attach(egress, { tcp, dns, destinationOf: (socket) => destinations.get(socket.localPort ?? 0) }));
  for (const [host, server] of Object.entries(listeners)) {
    const { port } = server.address() as AddressInfo;
    destinations.set(port, { address: await resolveInside(dns.address().port, host), port: 443 });
    ports[host === LLM_HOST ? "llm" : "plain"].push(port);
  }
}

async function listen() {
  const server = createServer();
  server.listen(0, "127.0.0.1", 4096);
  await once(server, "listening");
  return server;
}

/** The address that the sandbox's resolver gives for a name. */
async function resolveInside(port: number, host: string): Promise<string> {
  const socket = createSocket("udp4");
  const answered = once(socket, "message", { signal: AbortSignal.timeout(5_000) });
  socket.send(dnsQuery(host), port, "127.0.0.1");
  const [message] = (await answered) as [Buffer];
  socket.close();
  return [...message.subarray(-4)].join(".");
}

let peakRss = 0;
setInterval(() => {
  peakRss = Math.max(peakRss, process.memoryUsage.rss());
}, 20).unref();

/** What it has used; the peak begins anew. */
async function state(): Promise<GatewayState> {
  await reporter.settled();
  const { user, system } = process.cpuUsage();
  const rss = process.memoryUsage.rss();
  const peak = Math.max(peakRss, rss);
  peakRss = 0;
  return { cpuMs: (user + system) / 1000, rss, peakRss: peak, recorded: events.stats().appended };
}

const ready: GatewayReady = { ca: gateway.authorityPem, ports };
serve(ready, { state, hook: hook.to, hookState: hook.state }, async () => await stack.disposeAsync());
