import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import {
  createGateway,
  type EgressAttachment,
  type EgressLimits,
  type Gateway,
  type GatewayOptions,
  type SandboxEgress,
  type SandboxListeners,
} from "../../../src/egress/gateway.ts";
import { compilePolicy } from "../../../src/policy/compile.ts";
import type { Policy, PolicyInput, RuleInput } from "../../../src/policy/policy.ts";
import type { ProviderTable } from "../../../src/providers/recognize.ts";
import type { DecisionEvent, ExchangeEvent, FindingEvent, LlmEvent } from "../../../src/schema/event.ts";
import { tempDir, type TempDir } from "../temp.ts";
import { countingMetrics, type CountingMetrics } from "./metrics.ts";

type Fresh<T> = Omit<T, "id" | "schema_version" | "timestamp">;

export type Seen = {
  readonly exchanges: Fresh<ExchangeEvent>[];
  readonly decisions: Fresh<DecisionEvent>[];
  readonly calls: Fresh<LlmEvent>[];
  readonly findings: Fresh<FindingEvent>[];
};

export type FixtureOptions = Partial<Omit<GatewayOptions, "limits">> & {
  readonly limits?: Partial<EgressLimits>;
  readonly allow?: readonly string[];
  readonly policy?: Policy;
  readonly secrets?: SandboxEgress["secrets"];
  /** how many (host, port) can be reached; default 6 */
  readonly slots?: number;
  /** where connections to the listener pretend to have gone; default: the synthetic address of the name asked for last */
  readonly blocked?: () => string | null;
};

export type Fixture = AsyncDisposable & {
  readonly gateway: Gateway;
  readonly attachment: EgressAttachment;
  readonly egress: SandboxEgress;
  readonly seen: Seen;
  readonly metrics: CountingMetrics;
  /** port on 127.0.0.1 that plays `port` of the address that `host` resolves to inside; an address is taken as it is */
  reach(host: string, port: number): Promise<number>;
  /** one DNS message over UDP; undefined when no answer came */
  ask(message: Uint8Array): Promise<Buffer | undefined>;
};

export const LIMITS: EgressLimits = {
  connectionsPerSandbox: 256,
  connectionsPerListener: 64,
  exchangesPerSandbox: 1_024,
  handshakeTimeoutMs: 5_000,
  headBytes: 64 * 1024,
  idleTimeoutMs: 60 * 60 * 1000,
  connectTimeoutMs: 5_000,
  inspectBytes: 32 * 1024 * 1024,
  heldBytesPerSandbox: 256 * 1024 * 1024,
  codedBodiesPerSandbox: 64,
  lookTimeoutMs: 5_000,
};

export const noProviders: ProviderTable = { recognize: () => undefined };

export function testPolicy(allow: readonly string[], extra: Partial<PolicyInput> = {}, version = 1): Policy {
  const rules: RuleInput[] = allow.map((host, i) => {
    const port = /:(\d+)$/.exec(host)?.[1];
    return {
      id: `allow[${i}]`,
      host: port === undefined ? host : host.slice(0, -port.length - 1),
      ...(port === undefined ? {} : { ports: [Number(port)] }),
      effect: "allow",
      origin: "caller",
    };
  });
  return compilePolicy({
    ref: { id: "test", version },
    default: "deny",
    mode: "enforce",
    locked: false,
    rules,
    ownAddresses: [],
    ownPorts: [],
    unsafeAllowPrivate: false,
    ...extra,
  });
}

/** A gateway with one sandbox attached, on loopback, whose destinations are simulated. */
export async function gatewayFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const stack = new AsyncDisposableStack();
  const dir: TempDir = stack.use(await tempDir());
  const seen: Seen = { exchanges: [], decisions: [], calls: [], findings: [] };
  const metrics = countingMetrics();
  const gateway = stack.use(
    await createGateway({
      authorityDir: dir.path,
      upstreams: [],
      providers: noProviders,
      includeUsage: "inject_strip",
      costOf: () => null,
      metrics,
      log: silentLog,
      clock: systemClock,
      ...withoutOwn(options),
      limits: { ...LIMITS, ...options.limits },
      report: {
        exchange: (event) => seen.exchanges.push(event),
        decision: (event) => seen.decisions.push(event),
        llm: (event) => seen.calls.push(event),
        finding: (event) => seen.findings.push(event),
        blocked: options.blocked ?? (() => null),
      },
    }),
  );
  const egress: SandboxEgress = {
    uuid: "00000000-0000-4000-8000-000000000001",
    name: "box",
    labels: { team: "red" },
    policy: options.policy ?? testPolicy(options.allow ?? []),
    secrets: options.secrets ?? [],
    upstreams: [],
  };
  // one real listener for each simulated (address, port)
  const destinations = new Map<number, { readonly address: string; readonly port: number }>();
  const servers: Server[] = [];
  const slots = options.slots ?? 6;
  for (let i = 0; i < slots; i += 1) servers.push(await listen());
  const dnsTcp = await listen();
  const dns = createSocket("udp4");
  dns.bind(0, "127.0.0.1");
  await once(dns, "listening");
  const tcp = new Map<number, Server>([[53, dnsTcp]]);
  servers.forEach((server, i) => tcp.set(10_000 + i, server));
  const listeners: SandboxListeners = { tcp, dns, destinationOf: (socket) => destinations.get(socket.localPort ?? 0) };
  const attachment = stack.use(gateway.attach(egress, listeners));
  const dnsPort = dns.address().port;
  const ask = (message: Uint8Array): Promise<Buffer | undefined> => askUdp(dnsPort, message);
  const known = new Map<string, number>();
  return {
    gateway,
    attachment,
    egress,
    seen,
    metrics,
    ask,
    reach: async (host, port) => {
      const key = `${host}:${port}`;
      const before = known.get(key);
      if (before !== undefined) return before;
      const server = servers[known.size];
      if (server === undefined) throw new Error("the fixture has no listener left");
      const address = /^[\d.]+$|:/.test(host) ? host : await resolveInside(ask, host);
      const own = (server.address() as AddressInfo).port;
      destinations.set(own, { address, port });
      known.set(key, own);
      return own;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function withoutOwn(options: FixtureOptions): Partial<GatewayOptions> {
  const { allow: _allow, policy: _policy, secrets: _secrets, blocked: _blocked, limits: _limits, slots: _slots, ...rest } = options;
  return rest;
}

async function listen(): Promise<Server> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** A query for one name, as a resolver library writes it. */
export function dnsQuery(name: string, type = 1, id = 0x1234): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const head = Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, type >> 8, type & 0xff, 0, 1])]);
}

async function resolveInside(ask: Fixture["ask"], host: string): Promise<string> {
  const answer = await ask(dnsQuery(host));
  if (answer === undefined || answer.length < 16) throw new Error(`no answer for ${host}`);
  return [...answer.subarray(-4)].join(".");
}

async function askUdp(port: number, message: Uint8Array): Promise<Buffer | undefined> {
  const socket = createSocket("udp4");
  try {
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const answer = once(socket, "message", { signal: AbortSignal.timeout(20_000) });
    socket.send(message, port, "127.0.0.1");
    const [bytes] = (await answer) as [Buffer];
    return bytes;
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") return undefined;
    throw error;
  } finally {
    socket.close();
  }
}
