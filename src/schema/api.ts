import { z } from "zod";
import { streamStatus } from "./delivery.ts";
import { secretFileRequest } from "./secret-file.ts";
import { SECRET_SCHEMES } from "./secret-scheme.ts";

/** Bodies and answers of the HTTP API (`docs/reference/api.md` is made from them). Canonical units on the wire. */

export const sandboxName = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, "1–63 of [A-Za-z0-9._-], starting and ending alphanumeric");
export const profileName = z.enum(["permissive", "moderate", "restrictive"]);
export type ProfileName = z.infer<typeof profileName>;

const command = z.array(z.string()).min(1);
const environment = z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string());
/** `host[:port]`, `*.example.com` */
const allow = z.array(z.string());

/** The full form of a secret's binding. */
export const secretBinding = z.strictObject({
  /** variable inside that shows the placeholder */
  name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/),
  host: z.string().min(1).max(260),
  /** default by host, mostly `authorization` */
  header: z.string().max(64).optional(),
  scheme: z.enum(SECRET_SCHEMES).optional(),
  /** parameter of the URL that it may stand in, too */
  query: z.string().max(64).optional(),
  methods: z.array(z.string().max(32)).max(32).optional(),
  /** absent: calls of models on hosts of model providers, every path elsewhere */
  paths: z.array(z.string().max(1_024)).max(256).optional(),
  /** absent: the value of that name in the environment or the vault */
  value: z.string().min(1).max(65_536).optional(),
});
export type SecretBinding = z.infer<typeof secretBinding>;

export const mountRequest = z.strictObject({ source: z.string(), target: z.string(), read_only: z.boolean().prefault(false) });

/** One line each: they stand in events, tables and names of metrics. */
const labels = z
  .record(
    z.string().regex(/^[^=\p{Cc}]{1,128}$/u, "must be 1 to 128 characters without = and control characters"),
    z.string().regex(/^\P{Cc}{0,256}$/u, "must be at most 256 characters, without control characters"),
  )
  .refine((all) => Object.keys(all).length <= 64, "must be at most 64");

/** What `run` and `create` share: the place, its limits, its way out. */
const place = {
  image: z.string().optional(),
  profile: profileName.optional(),
  template: z.string().optional(),
  backend: z.enum(["bubblewrap", "docker", "nomad", "qemu"]).optional(),
  env: environment.optional(),
  vcpus: z.number().positive().optional(),
  memory_mb: z.int().positive().optional(),
  pids: z.int().positive().optional(),
  /** host directory given as /workspace; null: none */
  workspace: z.string().nullable().optional(),
  /** work on a copy that is written back */
  copy: z.boolean().optional(),
  /** write a copy's changes back when it stops; default: only for the copy of a workspace that root owns */
  apply: z.boolean().optional(),
  mounts: z.array(mountRequest).optional(),
  /** `KEY:host`, `KEY:host:header`, `KEY=value:host`, or the full form */
  secrets: z.array(z.union([z.string(), secretBinding])).optional(),
  /** files with logins, with placeholders in them: `codex`, `claude-code` or a name of `[[secret_files]]`, or `NAME:/path` */
  secret_files: z.array(secretFileRequest).max(16).optional(),
  allow: allow.optional(),
  /** ports of services on the host, reached inside as `host.agentkernel.internal:PORT` */
  allow_host_ports: z.array(z.int().min(1).max(65_535)).max(32).optional(),
  /** stand in every event of the sandbox */
  labels: labels.optional(),
};

export const createSandboxRequest = z.strictObject({
  ...place,
  name: sandboxName,
  /** ends by itself after so long, as `2h` */
  ttl: z.string().optional(),
});
export type CreateSandboxRequest = z.infer<typeof createSandboxRequest>;

export const runRequest = z.strictObject({
  ...place,
  command,
  /** taken for clients that send it: every sandbox is started in the one way that there is */
  fast: z.boolean().optional(),
  workdir: z.string().optional(),
  stdin: z.string().optional(),
  timeout_ms: z.int().positive().optional(),
  keep: z.boolean().optional(),
});
export type RunRequest = z.infer<typeof runRequest>;

export const execRequestBody = z.strictObject({
  command,
  /** `KEY=VALUE` */
  env: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*=/)).optional(),
  workdir: z.string().optional(),
  sudo: z.boolean().optional(),
  stdin: z.string().optional(),
  timeout_ms: z.int().positive().optional(),
});
export type ExecRequestBody = z.infer<typeof execRequestBody>;

/** a detached command has no stdin */
export const detachRequest = execRequestBody.omit({ stdin: true });
export type DetachRequest = z.infer<typeof detachRequest>;

export const terminalSize = z.strictObject({ rows: z.int().min(1).max(65_535), cols: z.int().min(1).max(65_535) });
export type TerminalSize = z.infer<typeof terminalSize>;

/** signals that may be sent to a command */
export const execSignal = z.enum([
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGKILL",
  "SIGUSR1",
  "SIGUSR2",
  "SIGWINCH",
  "SIGTSTP",
  "SIGCONT",
  "SIGSTOP",
]);

export const batchRunRequest = z.strictObject({ commands: z.array(z.strictObject({ command })).max(256) });
export type BatchRunRequest = z.infer<typeof batchRunRequest>;

export const extendRequest = z.strictObject({
  /** `90s`, `15m`, `2h`, `7d` */
  by: z.string(),
});
export const extendResult = z.strictObject({ expires_at: z.string().optional() });
export type ExtendResult = z.infer<typeof extendResult>;

export const limitInfo = z.strictObject({
  value: z.number().nullable(),
  enforced_by: z.enum(["cgroup", "watchdog", "rlimit", "tmpfs", "affinity", "backend", "none"]),
});

export const sandboxState = z.enum(["creating", "running", "stopping", "stopped", "failed"]);
export type SandboxState = z.infer<typeof sandboxState>;

export const sandboxInfo = z.strictObject({
  name: z.string(),
  uuid: z.string(),
  /** for clients that know two states */
  status: z.enum(["running", "stopped"]),
  state: sandboxState,
  /** why it is stopped or failed */
  reason: z.string().optional(),
  backend: z.string(),
  image: z.string().optional(),
  vcpus: z.number().optional(),
  memory_mb: z.number().optional(),
  created_at: z.string(),
  profile: profileName,
  template: z.string().optional(),
  labels: z.record(z.string(), z.string()),
  expires_at: z.string().optional(),
  workspace: z.strictObject({ path: z.string(), mode: z.enum(["direct", "copy"]) }).optional(),
  limits: z.record(z.string(), limitInfo).optional(),
  allow: z.array(z.string()),
  /** names of bound secrets with their hosts, never values */
  secrets: z.array(z.string()),
  /** names of secret files with their places inside */
  secret_files: z.array(z.string()),
});
export type SandboxInfo = z.infer<typeof sandboxInfo>;

export const runOutput = z.strictObject({
  /** stdout and stderr, interleaved as they came */
  output: z.string(),
  exit_code: z.int(),
  stdout: z.string(),
  stderr: z.string(),
  duration_ms: z.number(),
  /** true when output was cut at the cap */
  truncated: z.boolean().optional(),
  signal: z.string().optional(),
  reason: z.string().optional(),
  /** what changed in a copied workspace, when anything did */
  workspace: z
    .strictObject({
      /** written back to the host */
      applied: z.boolean(),
      /** why it was not, although it should have been */
      conflict: z.string().optional(),
      created: z.int(),
      modified: z.int(),
      deleted: z.int(),
      /** changed files that run on the host later */
      sensitive: z.array(z.string()),
      /** where the copy was kept, when it was not applied */
      kept_at: z.string().optional(),
    })
    .optional(),
});
export type RunOutput = z.infer<typeof runOutput>;

export const batchRunResult = z.strictObject({
  results: z.array(
    z.strictObject({
      /** null when the command could not be run */
      output: z.string().nullable(),
      /** why it could not be run, or that it exited with another code than 0 */
      error: z.string().nullable(),
      exit_code: z.int().nullable(),
    }),
  ),
});
export type BatchRunResult = z.infer<typeof batchRunResult>;

export const detachedExec = z.strictObject({
  id: z.string(),
  sandbox: z.string(),
  command: z.array(z.string()),
  pid: z.int(),
  status: z.enum(["running", "completed", "failed"]),
  exit_code: z.int().nullable(),
  started_at: z.string(),
});
export type DetachedExec = z.infer<typeof detachedExec>;

export const detachedLogs = z.strictObject({ stdout: z.string().optional(), stderr: z.string().optional() });
export type DetachedLogs = z.infer<typeof detachedLogs>;

/** Totals of known values are always numbers; `unmetered_requests` counts the calls without usage. */
export const usageEntry = z.strictObject({
  provider: z.string(),
  model: z.string(),
  request_count: z.int(),
  streaming_count: z.int(),
  error_count: z.int(),
  unmetered_requests: z.int(),
  total_input_tokens: z.int(),
  total_output_tokens: z.int(),
  total_tokens: z.int(),
  cache_read_tokens: z.int(),
  cache_write_tokens: z.int(),
  reasoning_tokens: z.int(),
  /** of the calls whose price is known; null when none is */
  cost_usd: z.number().nullable(),
  /** calls whose price is unknown */
  unpriced_requests: z.int(),
  last_request: z.string(),
});
export type UsageEntry = z.infer<typeof usageEntry>;

/** a row over every sandbox of a query; `key` is the value of what it was grouped by */
export const usageGroup = usageEntry.extend({ key: z.string() });
export type UsageGroup = z.infer<typeof usageGroup>;

/** a name that is also an environment variable's */
export const secretName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "up to 128 of [A-Za-z0-9_], not starting with a digit");
export const setSecretRequest = z.strictObject({ name: secretName, value: z.string().min(1).max(65_536) });
export const secretInfo = z.strictObject({ name: z.string(), created_at: z.string(), updated_at: z.string() });
export type SecretInfo = z.infer<typeof secretInfo>;

export const policyCheck = z.strictObject({
  url: z.string(),
  verdict: z.enum(["allow", "deny"]),
  rule: z.string(),
  reason: z.string(),
  hint: z.string().optional(),
  policy: z.strictObject({ id: z.string(), name: z.string().optional(), version: z.int() }),
});
export type PolicyCheck = z.infer<typeof policyCheck>;

const ruleFields = {
  /** `api.example.com`, `*.example.com` or an address */
  host: z.string().min(1).max(260),
  /** absent: 80 and 443, and every port for `deny`; an empty list: none */
  ports: z.array(z.int().min(1).max(65_535)).max(64).optional(),
  /** absent: every method; an empty list: none */
  methods: z.array(z.string().max(32)).max(32).optional(),
  /** absent: every path; an empty list: none */
  paths: z.array(z.string().max(1_024)).max(256).optional(),
  effect: z.enum(["allow", "deny", "tunnel"]),
  /** only for this sandbox */
  sandbox: z.string().max(63).optional(),
};

export const policyRule = z.strictObject({
  /** name of the rule in decisions */
  id: z.string(),
  /** `file`: the configuration's, read-only here */
  source: z.enum(["file", "api"]),
  ...ruleFields,
});
export type PolicyRule = z.infer<typeof policyRule>;

export const policyReport = z.strictObject({
  /** number of the policy in force; every change makes a new one */
  generation: z.int(),
  /** where the rules with source `file` come from */
  file: z.string().nullable(),
  default: z.enum(["deny", "allow"]),
  mode: z.enum(["enforce", "observe"]),
  locked: z.boolean(),
  rules: z.array(policyRule),
  /** sandboxes that run, each with the generation it is under */
  sandboxes: z.array(
    z.strictObject({
      name: z.string(),
      generation: z.int(),
      /** ports that rules name and that it can only reach after it was stopped and started */
      restart_for_ports: z.array(z.int()),
    }),
  ),
});
export type PolicyReport = z.infer<typeof policyReport>;

/** What `GET /policy` shows can be sent back changed. Rules of the file may be left out, and must not differ. */
export const policyChange = z.strictObject({
  rules: z
    .array(z.strictObject({ id: z.string().max(64).optional(), source: z.enum(["file", "api"]).optional(), ...ruleFields }))
    .max(2_000),
  /** refused with CONFLICT when the policy is another one by now */
  generation: z.int().optional(),
  file: z.string().nullable().optional(),
  default: z.enum(["deny", "allow"]).optional(),
  mode: z.enum(["enforce", "observe"]).optional(),
  locked: z.boolean().optional(),
  /** not read: it shows */
  sandboxes: z.array(z.unknown()).optional(),
});
export type PolicyChange = z.infer<typeof policyChange>;

export const doctorCheck = z.strictObject({
  name: z.string(),
  ok: z.boolean(),
  required: z.boolean(),
  detail: z.string(),
  remedy: z.string().optional(),
});
export const doctorReport = z.strictObject({ ok: z.boolean(), version: z.string(), checks: z.array(doctorCheck) });
export type DoctorReport = z.infer<typeof doctorReport>;

export const statusReport = z.strictObject({
  version: z.string(),
  pid: z.int(),
  started_at: z.string(),
  uptime_ms: z.number(),
  state_dir: z.string(),
  config_file: z.string().nullable(),
  backends: z.record(z.string(), z.strictObject({ available: z.boolean(), detail: z.string().optional() })),
  sandboxes: z.record(z.string(), z.int()),
  /** where events are delivered */
  streams: z.array(streamStatus),
  audit: z.strictObject({ appended: z.int(), durable_lag_ms: z.number(), writable: z.boolean() }),
});
export type StatusReport = z.infer<typeof statusReport>;

/** Every failed answer. `code` is a key of the table of errors. */
export const failure = z.strictObject({
  success: z.literal(false),
  /** one sentence */
  error: z.string(),
  code: z.string(),
  /** what to do about it */
  hint: z.string().optional(),
  request_id: z.string(),
});
export type Failure = z.infer<typeof failure>;
