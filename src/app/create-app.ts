import { hostname } from "node:os";
import { background } from "../base/background.ts";
import { systemClock } from "../base/clock.ts";
import { type Log, silentLog } from "../base/log.ts";
import type { Secret } from "../base/secret.ts";
import { VERSION } from "../base/version.ts";
import { type HostEnvironment, vaultKeyFrom } from "../config/env.ts";
import type { StatePaths } from "../config/paths.ts";
import { openEventLog } from "../events/open-log.ts";
import { tailEvents } from "../events/tail.ts";
import { silentMetrics } from "../metrics/silent-metrics.ts";
import { SandboxManager } from "../sandbox/manager.ts";
import type { SandboxRecord } from "../sandbox/record.ts";
import type { Config } from "../schema/settings.ts";
import { openStore } from "../store/open-store.ts";
import { createBackends } from "./backends.ts";
import { createDoctor } from "./doctor.ts";
import { EgressGeneration } from "./egress-policy.ts";
import { EgressLinks } from "./egress-links.ts";
import { createEventService } from "./event-service.ts";
import type { App } from "./facade.ts";
import { LazyGateway } from "./lazy-gateway.ts";
import { LedgerWriter } from "./ledger-writer.ts";
import { planSandbox } from "./plan.ts";
import { createPolicyService } from "./policy-service.ts";
import { rebookCalls } from "./rebook.ts";
import { Reporter } from "./reporter.ts";
import { createSandboxService } from "./sandbox-service.ts";
import { SandboxSecrets } from "./sandbox-secrets.ts";
import { createSecretService } from "./secret-service.ts";
import { createStatus } from "./status.ts";
import { createUsageService } from "./usage-service.ts";

/** What an app is made from: the configuration, where its state lies, and what it may know of the host's environment. */
export type AppConfig = {
  readonly config: Config;
  readonly paths: StatePaths;
  readonly env: HostEnvironment;
  /** reads the configuration again; absent: it cannot be reloaded */
  readonly reload?: () => Promise<Config>;
};

export type AppOptions = {
  readonly log?: Log;
  /** it stays: it reaps what has expired, and books what crashed processes left unbooked */
  readonly isServer?: boolean;
  /** ports of its own control listeners, which no sandbox may reach */
  readonly ownPorts?: readonly number[];
  /** false: a process whose metrics nobody can read, so that none are kept; default true */
  readonly hasMetrics?: boolean;
};

/** An {@link App}, with what only its owner needs. */
export type OwnedApp = App & {
  /** key of `[server] api_key`, resolved */
  apiKey(): Promise<Secret | undefined>;
  readonly runningSandboxes: number;
};

/** ms between looks at what has expired */
const REAP_MS = 1_000;

/**
 * Builds everything from a configuration and owns it.
 * @throws AppError for state, audit log or configuration that cannot be used
 */
export async function createApp(app: AppConfig, options: AppOptions = {}): Promise<OwnedApp> {
  const { paths } = app;
  const log = options.log ?? silentLog;
  const clock = systemClock;
  const startedAt = clock.now();
  const uid = process.getuid?.() ?? -1;
  await using stack = new AsyncDisposableStack();
  const metrics = options.hasMetrics === false ? silentMetrics : (await import("../metrics/create-metrics.ts")).createMetrics();
  const store = stack.use(openStore<SandboxRecord>(paths.database, { log }));
  const { audit } = app.config;
  const events = stack.use(
    await openEventLog({
      dir: paths.events,
      keyFile: paths.auditKey,
      clock,
      log,
      hostname: app.env.get("HOSTNAME") ?? hostname(),
      onFailure: audit.onFailure,
      retention: { maxBytes: audit.maxBytes, maxAgeMs: audit.maxAgeMs },
    }),
  );
  const ledger = stack.use(new LedgerWriter(store.ledger, log));
  const reporter = new Reporter({ events, ledger, metrics, log, onFailure: audit.onFailure });
  stack.defer(() => reporter.settled());
  store.sandboxes.markOrphansStopped();
  if (options.isServer === true) await rebookCalls(store, paths.events);

  let generation = await EgressGeneration.load(1, app.config, options.ownPorts ?? []);
  const vaultKey = vaultKeyFrom(app.env);
  const secrets = new SandboxSecrets({
    repository: store.secrets,
    vaultKeyFile: paths.vaultKey,
    env: app.env,
    clock,
    ...(vaultKey === undefined ? {} : { vaultKey }),
  });
  const report = reporter.record;
  const gateway = stack.use(new LazyGateway({ paths, generation: () => generation, reporter, metrics, log, clock }));
  const links = new EgressLinks({
    gateway: () => gateway.get(),
    generation: () => generation,
    secrets,
    hostEnv: (name) => app.env.get(name),
    settled: () => reporter.settled(),
  });
  const backends = createBackends({ paths, uid, log });
  const manager = stack.use(
    new SandboxManager({
      backends,
      repository: store.sandboxes,
      directory: paths.sandboxes,
      surroundings: links.surroundings,
      report,
      metrics,
      clock,
      log,
    }),
  );
  if (options.isServer === true) {
    const timer = setInterval(() => background("reap", manager.reap(), log), REAP_MS);
    stack.defer(() => clearInterval(timer));
  }
  const eventService = stack.use(createEventService(events, (query) => tailEvents({ dir: paths.events, ...query })));
  const context = {
    generation: () => generation,
    forbidden: [paths.state, paths.config],
    staged: paths.staged,
    uid,
    secrets,
    now: () => clock.now(),
  };
  const sandboxes = createSandboxService({
    manager,
    repository: store.sandboxes,
    plan: (request, expiresAt) => planSandbox(context, request, expiresAt),
    forget: async (record) => {
      await secrets.forget(record);
      metrics.removeSandbox(record.name);
    },
    clock,
    log,
  });
  const owned = stack.move();
  return {
    version: VERSION,
    sandboxes,
    usage: createUsageService({ store, settled: () => reporter.settled(), report, now: () => clock.now() }),
    events: eventService,
    secrets: createSecretService({ secrets, report }),
    policy: createPolicyService({
      manager,
      generation: () => generation,
      reload: async () => {
        if (app.reload === undefined) return generation;
        const next = await EgressGeneration.load(generation.version + 1, await app.reload(), options.ownPorts ?? []);
        generation = next;
        links.reload();
        return next;
      },
      report,
    }),
    metrics,
    status: createStatus({ startedAt, paths, configFile: app.config.file, store, events, backends, clock }),
    doctor: createDoctor(backends),
    apiKey: () => secrets.resolve(app.config.server.apiKey),
    get runningSandboxes() {
      return manager.running;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
