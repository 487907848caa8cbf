import { hostname } from "node:os";
import { background } from "../base/background.ts";
import { systemClock } from "../base/clock.ts";
import { type Log, silentLog } from "../base/log.ts";
import { Secret } from "../base/secret.ts";
import { VERSION } from "../base/version.ts";
import { homeOf, type HostEnvironment, vaultKeyFrom } from "../config/env.ts";
import type { StatePaths } from "../config/paths.ts";
import { DEFAULT_LIMITS, openEventLog } from "../events/open-log.ts";
import type { TextWriter } from "../events/sinks/stdout.ts";
import { tailEvents } from "../events/tail.ts";
import { silentMetrics } from "../metrics/silent-metrics.ts";
import { Caretaker } from "../sandbox/caretaker.ts";
import { SandboxManager } from "../sandbox/manager.ts";
import type { SandboxRecord } from "../sandbox/record.ts";
import type { Config } from "../schema/settings.ts";
import { openStore } from "../store/open-store.ts";
import { createAuditService } from "./audit/audit.ts";
import { DecisionHooks } from "./hooks/decision-hooks.ts";
import { HookRegistry } from "./hooks/hook-registry.ts";
import { Hooks } from "./hooks/hook-service.ts";
import { createBackends } from "./backends.ts";
import { budgetsInForce, createBudgetService } from "./llm/budget-service.ts";
import { BudgetGate } from "./llm/call-gate.ts";
import { CallPruner } from "./llm/call-pruner.ts";
import { DeliveryService } from "./audit/delivery-service.ts";
import { createDoctor } from "./doctor.ts";
import { EgressLinks } from "./egress/egress-links.ts";
import { createEventService } from "./audit/event-service.ts";
import type { App } from "./facade.ts";
import { LazyGateway } from "./egress/lazy-gateway.ts";
import { LedgerWriter } from "./llm/ledger-writer.ts";
import { createLlmCatalog } from "./llm/llm-catalog.ts";
import { planSandbox } from "./sandboxes/plan.ts";
import { createLlmKeyService, orgKeysOf } from "./llm/org-keys.ts";
import { AddressWatch } from "./egress/own-addresses.ts";
import { PolicyGenerations } from "./egress/policy-generations.ts";
import { createPolicyService } from "./egress/policy-service.ts";
import { rebookCalls } from "./llm/rebook.ts";
import { Reporter } from "./audit/reporter.ts";
import { createSandboxService } from "./sandboxes/sandbox-service.ts";
import { keepOutOfCoreDumps } from "./core-dump.ts";
import type { FindSecret } from "./secrets/find-secret.ts";
import { SandboxSecrets } from "./secrets/sandbox-secrets.ts";
import { Renewals } from "./secrets/renewals.ts";
import { SecretFiles } from "./secrets/secret-files.ts";
import { createSecretService } from "./secrets/secret-service.ts";
import { createStatus } from "./status.ts";
import { createUsageService } from "./llm/usage-service.ts";

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
  /** takes what `[[audit.streams]]` writes to stdout; absent: this process's stdout belongs to somebody else */
  readonly stdout?: TextWriter;
  /** false: a process whose metrics nobody can read, so that none are kept; default true */
  readonly hasMetrics?: boolean;
  /** a sandbox is started at once: the machine is looked at while the rest opens */
  readonly startsSandbox?: boolean;
};

/** An {@link App}, with what only its owner needs. */
export type OwnedApp = App & {
  /** key of `[server] api_key`, resolved */
  apiKey(): Promise<Secret | undefined>;
  readonly runningSandboxes: number;
  /** ends all that run here, and starts no more */
  endSandboxes(): Promise<void>;
  /** a port that a control listener was given: no sandbox reaches it from now on */
  addOwnPort(port: number): void;
};

const CONTROL_PORT = "control_port";

/** Where the server beside us listens; a port it left is closed to sandboxes needlessly, until it takes another. */
function listeningPorts(store: { readonly meta: { get(key: string): string | undefined } }): readonly number[] {
  const port = store.meta.get(CONTROL_PORT);
  return port === undefined ? [] : [Number(port)];
}

/** ms between looks at what has expired */
const REAP_MS = 1_000;
/** ms between looks at what other processes changed: a changed verdict closes connections within a second */
const FOLLOW_MS = 400;

/**
 * Builds everything from a configuration and owns it.
 * @throws AppError for state, audit log or configuration that cannot be used
 */
export async function createApp(app: AppConfig, options: AppOptions = {}): Promise<OwnedApp> {
  const { paths } = app;
  const log = options.log ?? silentLog;
  keepOutOfCoreDumps(log);
  const clock = systemClock;
  const startedAt = clock.now();
  const uid = process.getuid?.() ?? -1;
  await using stack = new AsyncDisposableStack();
  const backends = createBackends({ paths, uid, log });
  if (options.startsSandbox === true) backends.get(app.config.sandbox.backend)?.prepare?.();
  const metrics = options.hasMetrics === false ? silentMetrics : (await import("../metrics/create-metrics.ts")).createMetrics();
  const store = stack.use(openStore<SandboxRecord>(paths.database, { log }));
  const { audit } = app.config;
  const host = app.env.get("HOSTNAME") ?? hostname();
  // before the log, and so ended after it: what the log says at its end is delivered as well
  const delivery = stack.use(
    new DeliveryService({
      paths,
      config: app.config,
      metrics,
      hostname: host,
      stdout: options.stdout,
      isServer: options.isServer === true,
      clock,
      log,
    }),
  );
  const events = stack.use(
    await openEventLog({
      dir: paths.events,
      keyFile: audit.checkpointKey ?? paths.auditKey,
      clock,
      log,
      hostname: host,
      durability: audit.durability,
      onFailure: audit.onFailure,
      retention: { maxBytes: audit.maxBytes, maxAgeMs: audit.maxAgeMs },
      onFull: audit.onFull,
      lagging: delivery.lagging,
      // whole segments are removed, so one must be small beside them all
      limits: { rotateBytes: Math.min(DEFAULT_LIMITS.rotateBytes, Math.floor(audit.maxBytes / 8)) },
    }),
  );
  stack.defer(() => delivery.drain());
  const ledger = stack.use(new LedgerWriter(store.ledger, log));
  const reporter = new Reporter({ events, ledger, metrics, log, onFailure: audit.onFailure });
  stack.defer(() => reporter.settled());
  if (options.isServer === true) await rebookCalls(store, paths.events);

  // grows when the server listens; every generation reads it when it decides
  const { port: configuredPort } = app.config.server;
  const ownPorts = [...(options.ownPorts ?? []), ...(configuredPort === 0 ? [] : [configuredPort]), ...listeningPorts(store)];
  const vaultKey = vaultKeyFrom(app.env);
  const secrets = new SandboxSecrets({
    repository: store.secrets,
    vaultKeyFile: paths.vaultKey,
    env: app.env,
    clock,
    ...(vaultKey === undefined ? {} : { vaultKey }),
  });
  const generations = await PolicyGenerations.open(app.config, {
    rules: store.policyRules,
    ownPorts,
    ...(app.reload === undefined ? {} : { readConfig: app.reload }),
    prepare: (next) => links.prepare(next),
    orgKeys: (config) => orgKeysOf(config, store.llmKeys, secrets),
    now: () => clock.now(),
    log,
  });
  const renewals = new Renewals({ folder: paths.logins, key: () => secrets.vaultKey(), clock, log });
  background("finish renewals of logins", renewals.recover(), log);
  const secretFiles = new SecretFiles({
    home: homeOf(app.env),
    configured: () => generations.current.config.secretFiles,
    forbidden: [paths.state, paths.config],
    renewals,
    randomFor: () => secrets.placeholderSource(),
    clock,
    log,
  });
  const report = reporter.record;
  const secretOf: FindSecret = async (text, signal) =>
    typeof text === "string" ? text : ((await secrets.resolve(text, signal)) ?? new Secret("")).reveal();
  const { otlp } = app.config.llm;
  // before the gateway, and so ended after it: calls that end with it are counted
  if (otlp !== null) {
    const { OtlpMetrics } = await import("./llm/otlp-metrics.ts");
    stack.use(await OtlpMetrics.open({ settings: otlp, events, secret: secretOf, hostname: host, clock, log }));
  }
  const registry = new HookRegistry({ store: store.meta, config: app.config, now: () => clock.now() });
  const hooks = new Hooks({
    registry,
    delivery,
    config: () => generations.current.config,
    paths,
    secret: secretOf,
    vault: {
      set: async (name, value) => (await secrets.wholeVault()).set(name, value),
      removeAll: async (prefix) => {
        const vault = await secrets.wholeVault();
        for (const { name } of vault.list()) if (name.startsWith(prefix)) vault.remove(name);
      },
    },
    report,
    clock,
    log,
  });
  const judge = stack.use(new DecisionHooks({ registry, wayOf: (hook) => hooks.wayOf(hook), clock, log }));
  let gate: BudgetGate | undefined;
  const gateway = stack.use(
    new LazyGateway({
      judge,
      paths,
      generation: () => generations.current,
      reporter,
      metrics,
      log,
      clock,
      gate: (prices) => {
        gate = new BudgetGate({
          ...prices,
          table: store.budgets,
          contexts: store.contexts,
          budgets: () => budgetsInForce(store.budgets, generations.current.config),
          models: () => generations.current.config.llm.models,
          unknownPrice: () => generations.current.config.llm.unknownPrice,
          finding: (event) => reporter.egress.finding(event),
          metrics,
          clock,
          log,
        });
        return gate;
      },
      resolveSecret: (reference) => secrets.resolve(reference),
    }),
  );
  const links: EgressLinks = new EgressLinks({
    gateway: () => gateway.get(),
    generation: () => generations.current,
    secrets,
    secretFiles,
    hostEnv: (name) => app.env.get(name),
    settled: () => reporter.settled(),
    applied: ({ uuid }, policy) => store.sandboxes.update(uuid, { policy }),
  });
  const secretsChanged = async (): Promise<void> => {
    await links.refreshSecrets();
    if (generations.current.config.llmKeys.length > 0 || store.llmKeys.list().length > 0) await generations.refresh();
  };
  let secretsRevision = store.secrets.revision;
  // a store that cannot be read for a moment must not end the process: what throws in a timer does
  const followSecrets = async (): Promise<void> => {
    const { revision } = store.secrets;
    if (revision === secretsRevision) return;
    secretsRevision = revision;
    await secretsChanged();
  };
  const addresses = new AddressWatch();
  // the same: they cannot be read without a descriptor
  const followAddresses = async (): Promise<void> => {
    // the same generation, with the addresses of now as this machine's own
    if (addresses.hasChanged()) links.prepare(generations.current)();
  };
  const following = setInterval(() => {
    if (links.count > 0) background("follow this machine's addresses", followAddresses(), log);
    gate?.cutClosed();
    if (links.count > 0 || options.isServer === true) background("follow the policy", generations.follow(), log);
    secretFiles.follow();
    if (links.count > 0) background("follow the secrets", followSecrets(), log);
  }, FOLLOW_MS);
  following.unref();
  stack.defer(() => clearInterval(following));
  const manager = stack.use(
    new SandboxManager({
      backends,
      repository: store.sandboxes,
      detached: store.detached,
      directory: paths.sandboxes,
      surroundings: links.surroundings,
      report,
      forget: async (record) => {
        await secrets.forget(record);
        store.policyRules.removeOf(record.uuid);
      },
      metrics,
      clock,
      log,
    }),
  );
  const caretaker = new Caretaker({
    manager,
    repository: store.sandboxes,
    detached: store.detached,
    directory: paths.sandboxes,
    everyones: options.isServer === true,
    clock,
    log,
  });
  const recovering = caretaker.recover().then(() => secrets.prune((uuid) => store.sandboxes.byUuid(uuid) !== undefined));
  background("recover", recovering, log);
  const timer = setInterval(() => background("reap", caretaker.reap(), log), REAP_MS);
  timer.unref();
  stack.defer(async () => {
    clearInterval(timer);
    await recovering.catch(() => undefined);
  });
  if (options.isServer === true)
    stack.use(new CallPruner({ ledger: store.ledger, keepMs: () => generations.current.config.llm.keepCallsMs, clock, log }));
  const eventService = stack.use(createEventService(events, (query) => tailEvents({ dir: paths.events, ...query })));
  const context = {
    generation: () => generations.current,
    forbidden: [paths.state, paths.config],
    staged: paths.staged,
    uid,
    secrets,
    secretFiles,
    now: () => clock.now(),
  };
  const sandboxes = createSandboxService({
    manager,
    repository: store.sandboxes,
    plan: (request, expiresAt) => planSandbox(context, request, expiresAt),
    clock,
    log,
  });
  await delivery.attach({
    events,
    report,
    secret: secretOf,
    hooks: {
      get revision() {
        return registry.revision;
      },
      names: () =>
        registry.list().flatMap(({ hook }) => (hook.mode === "notify" ? [{ name: `hook@${hook.name}`, type: hook.target.type }] : [])),
      specs: () => hooks.specs(),
    },
  });
  const policy = createPolicyService({ manager, repository: store.sandboxes, generations, report, log });
  const vault = createSecretService({ secrets, report, changed: secretsChanged });
  const owned = stack.move();
  return {
    version: VERSION,
    sandboxes,
    usage: createUsageService({ store, settled: () => reporter.settled(), report, now: () => clock.now() }),
    events: eventService,
    secrets: vault,
    llmCatalog: createLlmCatalog({ generation: () => generations.current, now: () => clock.now() }),
    llmKeys: createLlmKeyService({
      table: store.llmKeys,
      config: () => generations.current.config,
      secrets,
      vault,
      report,
      changed: () => generations.refresh(),
    }),
    policy: {
      ...policy,
      reload: async (caller) => {
        await policy.reload(caller);
        registry.config = generations.current.config;
        await delivery.reload(generations.current.config);
      },
    },
    hooks,
    audit: createAuditService({ paths, hostname: host, config: () => generations.current.config, report }),
    budgets: createBudgetService({ table: store.budgets, config: () => generations.current.config, report, clock }),
    delivery,
    metrics,
    status: createStatus({
      startedAt,
      paths,
      configFile: app.config.file,
      store,
      events,
      backends,
      streams: () => delivery.status(),
      clock,
    }),
    doctor: createDoctor(backends),
    apiKey: () => secrets.resolve(app.config.server.apiKey),
    addOwnPort: (port) => {
      ownPorts.push(port);
      store.meta.set(CONTROL_PORT, String(port));
    },
    endSandboxes: () => manager[Symbol.asyncDispose](),
    get runningSandboxes() {
      return manager.running;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
