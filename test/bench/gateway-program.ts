/**
 * Our gateway as `serve` runs it: policy from the configuration, a bound secret, metering, prices, metrics, the event log and the
 * ledger on disk. Only the listeners are of another kind: on 127.0.0.1, since no sandbox is needed for these figures.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { LazyGateway } from "../../src/app/lazy-gateway.ts";
import { EgressGeneration } from "../../src/app/egress-policy.ts";
import { LedgerWriter } from "../../src/app/ledger-writer.ts";
import { Reporter } from "../../src/app/reporter.ts";
import { systemClock } from "../../src/base/clock.ts";
import { newUuid } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { Secret } from "../../src/base/secret.ts";
import { environmentFrom } from "../../src/config/env.ts";
import { configFrom } from "../../src/config/load.ts";
import { statePaths } from "../../src/config/paths.ts";
import { prepareState } from "../../src/config/prepare-state.ts";
import type { Gateway, SandboxEgress } from "../../src/egress/gateway.ts";
import { openEventLog } from "../../src/events/open-log.ts";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { openStore } from "../../src/store/open-store.ts";
import { dnsQuery } from "../support/gateway/fixture.ts";
import { parameters, serve } from "./program.ts";
import { LLM_HOST, PLACEHOLDER, PLAIN_HOST, REAL_KEY } from "./traffic.ts";

export type GatewayParameters = {
  readonly home: string;
  readonly upstream: { readonly port: number; readonly caFile: string };
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
const uid = process.getuid?.() ?? 0;
const env = environmentFrom({ AGENTKERNEL_HOME: options.home, HOME: options.home, XDG_CONFIG_HOME: options.home });
const paths = statePaths(env, uid);
await prepareState(paths, uid);
const upstream = (host: string) => ({ host, url: `https://localhost:${options.upstream.port}`, ca_file: options.upstream.caFile });
const { config } = configFrom(
  { egress: { upstreams: [upstream(LLM_HOST), upstream(PLAIN_HOST)] }, llm: { enabled: options.isMetering } },
  { env, uid },
);

const [clock, log, metrics] = [systemClock, silentLog, createMetrics()];
const stack = new AsyncDisposableStack();
const store = stack.use(openStore(paths.database, { log }));
const events = stack.use(await openEventLog({ dir: paths.events, keyFile: paths.auditKey, clock, log, hostname: "bench" }));
const ledger = stack.use(new LedgerWriter(store.ledger, log));
const reporter = new Reporter({ events, ledger, metrics, log, onFailure: "deny" });
stack.defer(() => reporter.settled());
const generation = await EgressGeneration.load(1, config, []);
const gateway = await stack.use(new LazyGateway({ paths, generation: () => generation, reporter, metrics, log, clock })).get();

const ports: { llm: number[]; plain: number[] } = { llm: [], plain: [] };
for (let i = 0; i < options.sandboxes; i += 1) await attach(gateway, i);

async function attach(to: Gateway, index: number): Promise<void> {
  const secret = { name: "OPENAI_API_KEY", host: LLM_HOST, header: "authorization", scheme: "bearer" } as const;
  const egress: SandboxEgress = {
    uuid: newUuid(),
    name: `bench-${index}`,
    labels: {},
    policy: generation.policyFor({ profile: "moderate", allow: [PLAIN_HOST], secrets: [secret] }),
    secrets: [{ ...secret, placeholder: PLACEHOLDER, value: new Secret(REAL_KEY) }],
    upstreams: generation.upstreams,
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
serve(ready, { state }, async () => await stack.disposeAsync());
