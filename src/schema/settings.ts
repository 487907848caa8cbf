import type { ProfileName } from "./api.ts";
import type { SecretText, StreamDestination } from "./audit-stream.ts";
import { budgetIdOf } from "./budget-id.ts";
import type { ConfigFile } from "./config.ts";
import type { Hook, HookTarget } from "./hook.ts";
import type { OcsfVersion } from "./ocsf-version.ts";
import type { OperatorShape } from "./operator-shapes.ts";
import type { SecretFileSection } from "./secret-file.ts";
import type { SecretFileDefinition } from "./secret-file-definition.ts";
import type { SecretReference } from "./secret-reference.ts";
import type { SecretScheme } from "./secret-scheme.ts";

/** Limits that somebody set; absent: not set. */
export type LimitSettings = {
  readonly memoryBytes?: number;
  readonly cpus?: number;
  readonly pids?: number;
  readonly openFiles?: number;
  readonly scratchBytes?: number;
};

export type EgressRuleSettings = {
  readonly host: string;
  readonly ports?: readonly number[];
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly effect: "allow" | "deny" | "tunnel";
};

export type UpstreamSettings = { readonly host: string; readonly url: string; readonly caFile?: string };

export type BindingSettings = {
  readonly name: string;
  /** absent: by its name */
  readonly from?: SecretReference;
  readonly host: string;
  readonly header?: string;
  readonly scheme?: SecretScheme;
  readonly query?: string;
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
};

/** As the file says it; what it leaves out is known of the agent of that name. */
export type SecretFileSettings = Pick<SecretFileDefinition, "name"> & Partial<SecretFileDefinition>;

export type BudgetSettings = {
  readonly id: string;
  readonly scope: string;
  readonly unit: "usd" | "tokens" | "requests" | "concurrent";
  /** dollars, tokens or calls */
  readonly limit: number;
  readonly window: string;
  readonly onExceed: "deny" | "warn";
};

/** An operator's own provider; `name` is reported where it is a provider id, else `custom`. */
export type ModelProviderSettings = {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly shape: OperatorShape;
  /** takes `stream_options.include_usage`; absent: as its shape does */
  readonly includeUsage?: boolean;
};

export type OtlpSettings = {
  readonly url: string;
  /** `authorization` among them */
  readonly headers: Readonly<Record<string, SecretText>>;
  /** absolute */
  readonly caFile?: string;
  readonly intervalMs: number;
};

export type EgressSettings = {
  readonly default: "deny" | "allow";
  readonly mode: "enforce" | "observe";
  readonly locked: boolean;
  /** proxy of this network */
  readonly upstreamProxy?: { readonly url: string; readonly auth?: SecretReference };
  /** absolute path of a PEM file */
  readonly caFile?: string;
  readonly unsafeAllowPrivate: boolean;
  readonly rules: readonly EgressRuleSettings[];
  readonly upstreams: readonly UpstreamSettings[];
};

/** The configuration of one process: complete, checked, in canonical units and frozen all the way down. */
export type Config = {
  /** file it was read from; null: there is none */
  readonly file: string | null;
  readonly server: {
    readonly host: string;
    readonly port: number;
    readonly apiKey: SecretReference | null;
    readonly allowedOrigins: readonly string[];
  };
  readonly sandbox: {
    readonly backend: "bubblewrap";
    readonly profile: ProfileName;
    /** null: sandboxes do not end by themselves */
    readonly ttlMs: number | null;
    readonly limits: LimitSettings;
    readonly max: LimitSettings;
  };
  readonly egress: EgressSettings;
  readonly llm: {
    readonly enabled: boolean;
    readonly customDomains: readonly string[];
    readonly includeUsage: "inject_strip" | "inject" | "off";
    readonly drainOnAbort: boolean;
    readonly unknownPrice: "deny" | "assume_max" | "allow";
    /** absolute; null: the built-in prices alone */
    readonly priceFile: string | null;
    readonly providers: readonly ModelProviderSettings[];
    /** null: no metrics are exported */
    readonly otlp: OtlpSettings | null;
    /** ms after which a call is only in the sums */
    readonly keepCallsMs: number;
    readonly models: { readonly allow: readonly string[]; readonly deny: readonly string[] };
    readonly budgets: readonly BudgetSettings[];
  };
  readonly llmKeys: readonly { readonly target: string; readonly vaultKeyName: string }[];
  readonly secrets: readonly BindingSettings[];
  readonly secretFiles: readonly SecretFileSettings[];
  readonly proxy: {
    /** absolute */
    readonly hookFileDirs: readonly string[];
    readonly unsafeAllowPrivate: boolean;
    readonly hooks: readonly Hook[];
  };
  readonly audit: {
    readonly durability: "by_class" | "durable";
    readonly onFailure: "deny" | "allow";
    readonly maxBytes: number;
    readonly maxAgeMs: number;
    readonly onFull: "drop_oldest" | "block" | "deny";
    /** absolute; null: where the installation keeps it */
    readonly checkpointKey: string | null;
    readonly streams: readonly StreamSettings[];
  };
};

export type StreamSettings = {
  /** absent: made from the destination */
  readonly name?: string;
  readonly destination: StreamDestination;
  readonly batchSize: number;
  readonly flushMs: number;
  readonly maxRetries: number;
  /** null: native records */
  readonly ocsfVersion: OcsfVersion | null;
};

/** The one place where the file's names become the program's. `expand` makes `~/` absolute. */
export function settingsOf(file: ConfigFile, from: { readonly file: string | null; readonly expand: (path: string) => string }): Config {
  const { server, sandbox, egress, llm, secrets, audit } = file;
  const caFile = (path: string | undefined) => (path === undefined ? {} : { caFile: from.expand(path) });
  return freeze({
    file: from.file,
    server: { host: server.host, port: server.port, apiKey: server.api_key ?? null, allowedOrigins: server.allowed_origins },
    sandbox: {
      backend: sandbox.backend,
      profile: sandbox.profile,
      ttlMs: sandbox.ttl ?? null,
      limits: limitsOf(sandbox.limits),
      max: limitsOf(sandbox.max),
    },
    egress: {
      default: egress.default,
      mode: egress.mode,
      locked: egress.locked,
      ...(egress.upstream_proxy === undefined ? {} : { upstreamProxy: proxyOf(egress.upstream_proxy) }),
      ...caFile(egress.ca_file),
      unsafeAllowPrivate: egress.unsafe_allow_private,
      rules: egress.rules.map(present),
      upstreams: egress.upstreams.map(({ host, url, ca_file }) => ({ host, url, ...caFile(ca_file) })),
    },
    llm: {
      enabled: llm.enabled,
      customDomains: llm.custom_domains,
      includeUsage: llm.include_usage,
      drainOnAbort: llm.drain_on_abort,
      unknownPrice: llm.unknown_price,
      priceFile: llm.price_file === undefined ? null : from.expand(llm.price_file),
      otlp: llm.otlp === undefined ? null : otlpOf(llm.otlp, caFile(llm.otlp.ca_file)),
      keepCallsMs: llm.keep_calls,
      providers: llm.providers.map(({ include_usage, ...provider }) =>
        include_usage === undefined ? provider : { ...provider, includeUsage: include_usage },
      ),
      models: llm.models,
      budgets: llm.budgets.map((budget) => {
        const { scope, unit, limit, window, on_exceed: onExceed } = budget;
        return { id: budgetIdOf(budget), scope, unit, limit, window, onExceed };
      }),
    },
    llmKeys: Object.entries(file.llm_keys).map(([target, vaultKeyName]) => ({ target, vaultKeyName })),
    secrets: Object.entries(secrets).map(([name, to]) => (typeof to === "string" ? { name, host: to } : { name, ...present(to) })),
    secretFiles: file.secret_files.map((section) => secretFileOf(section, from.expand)),
    proxy: {
      hookFileDirs: file.proxy.hook_file_dirs.map(from.expand),
      unsafeAllowPrivate: file.proxy.unsafe_allow_private,
      hooks: file.proxy.hooks.map((hook) => ({ ...hook, target: expandTarget(hook.target, from.expand) })),
    },
    audit: {
      durability: audit.durability,
      onFailure: audit.on_failure,
      maxBytes: audit.max_bytes,
      maxAgeMs: audit.max_age,
      onFull: audit.on_full,
      checkpointKey: audit.checkpoint_key === undefined ? null : from.expand(audit.checkpoint_key),
      streams: audit.streams.map((stream) => {
        const destination = expandPaths(stream.destination, from.expand);
        return {
          ...(stream.name === undefined ? {} : { name: stream.name }),
          destination,
          batchSize: stream.batch_size,
          flushMs: stream.flush_interval_secs * 1000,
          maxRetries: stream.max_retries,
          ocsfVersion: stream.ocsf_enabled ? stream.ocsf_version : null,
        };
      }),
    },
  });
}

function secretFileOf({ path, inside, refresh, ...section }: SecretFileSection, expand: (path: string) => string): SecretFileSettings {
  const { url, tokens, expires_at, refreshed_at, scopes, client_ids, client_id, parameters } = refresh ?? {};
  const client = { clientIds: client_ids, clientId: client_id, parameters };
  return {
    ...present({ ...section, tokens: section.tokens?.map(present) }),
    ...(path === undefined ? {} : { path: expand(path) }),
    ...(inside === undefined ? {} : { inside: inside.slice(2) }),
    ...(url === undefined || tokens === undefined
      ? {}
      : { refresh: { url, tokens, ...present({ expiresAt: expires_at, refreshedAt: refreshed_at, scopes, ...client }) } }),
  };
}

function otlpOf(
  { url, authorization, headers = {}, interval }: NonNullable<ConfigFile["llm"]["otlp"]>,
  ca: { readonly caFile?: string },
): OtlpSettings {
  return { url, headers: authorization === undefined ? headers : { ...headers, authorization }, ...ca, intervalMs: interval };
}

function expandTarget(target: HookTarget, expand: (path: string) => string): HookTarget {
  if (target.type === "file") return { ...target, path: target.path.startsWith("~/") ? expand(target.path) : target.path };
  return target.type === "webhook" && target.ca_file !== undefined ? { ...target, ca_file: expand(target.ca_file) } : target;
}

function expandPaths(destination: StreamDestination, expand: (path: string) => string): StreamDestination {
  if (destination.type === "file") return { ...destination, path: expand(destination.path) };
  return "ca_file" in destination && destination.ca_file !== undefined
    ? { ...destination, ca_file: expand(destination.ca_file) }
    : destination;
}

function proxyOf(proxy: NonNullable<ConfigFile["egress"]["upstream_proxy"]>): NonNullable<EgressSettings["upstreamProxy"]> {
  return typeof proxy === "string" ? { url: proxy } : present(proxy);
}

function limitsOf(limits: ConfigFile["sandbox"]["limits"]): LimitSettings {
  const { memory, cpus, pids, open_files, scratch } = limits;
  return present({ memoryBytes: memory, cpus, pids, openFiles: open_files, scratchBytes: scratch });
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Without the keys whose value is undefined, which the type then promises. */
function present<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Present<T>;
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) freeze(part);
  }
  return value;
}
