import { below, type Seen } from "./seen.ts";

const sandbox = "e2e/sandbox-settings.test.ts";
const server = "e2e/server-settings.test.ts";
const egress = "e2e/egress-settings.test.ts";
const verdicts = "integration/egress-settings.test.ts";
const llm = "e2e/llm-settings.test.ts";
const audit = "integration/audit-settings.test.ts";
const secrets = "e2e/secret-settings.test.ts";

/** `agentkernel.toml` without hooks and streams. */
export const CONFIG: readonly Seen[] = [
  { file: server, title: "listens where the file says", keys: below("server.", "host", "port") },
  { file: server, title: "asks for the key of the file", keys: ["server.api_key"] },
  { file: server, title: "lets pages of allowed_origins in", keys: ["server.allowed_origins"] },
  // there is one backend: every other one is refused by name
  { file: "../src/config/load.test.ts", title: "is one line with a remedy", keys: ["sandbox.backend"] },
  {
    file: sandbox,
    title: "limits replace the profile's and are held",
    keys: ["sandbox.profile", ...below("sandbox.limits.", "memory", "cpus", "pids", "open_files", "scratch")],
  },
  {
    file: sandbox,
    title: "max bounds the profile's limits",
    keys: below("sandbox.max.", "memory", "cpus", "pids", "open_files", "scratch"),
  },
  { file: sandbox, title: "ttl ends and removes sandboxes", keys: ["sandbox.ttl"] },
  {
    file: verdicts,
    title: "%s decides",
    keys: below("egress.", "default", "unsafe_allow_private", ...below("rules.", "host", "ports", "methods", "paths", "effect")),
  },
  { file: verdicts, title: "mode and locked are shown as they are in force", keys: ["egress.locked"] },
  { file: egress, title: "observe allows what rules deny", keys: ["egress.mode"] },
  { file: egress, title: "upstream_proxy is asked", keys: below("egress.upstream_proxy", "", ".url", ".auth") },
  {
    file: egress,
    title: "ca_file is trusted for every upstream",
    keys: ["egress.ca_file", ...below("egress.upstreams.", "host", "url", "ca_file")],
  },
  { file: llm, title: "enabled = false recognises nothing", keys: ["llm.enabled"] },
  {
    file: llm,
    title: "include_usage, of all and of a provider of one's own",
    keys: ["llm.include_usage", "llm.custom_domains", ...below("llm.providers.", "hosts", "include_usage")],
  },
  { file: "integration/llm-catalog.test.ts", title: "the operator's providers come first", keys: ["llm.providers.name"] },
  {
    file: "e2e/llm.test.ts",
    title: "are recognised below any path, priced by the operator's file",
    keys: ["llm.price_file", "llm.providers.shape"],
  },
  { file: llm, title: "drain_on_abort reads on", keys: ["llm.drain_on_abort"] },
  { file: llm, title: "unknown_price lets a model pass", keys: ["llm.unknown_price"] },
  { file: audit, title: "keep_calls: single calls go", keys: ["llm.keep_calls"] },
  { file: llm, title: "models.allow and models.deny", keys: below("llm.models.", "allow", "deny") },
  { file: llm, title: "otlp: url, authorization", keys: below("llm.otlp.", "url", "authorization", "headers", "ca_file", "interval") },
  { file: llm, title: "budgets: id, scope, unit", keys: below("llm.budgets.", "id", "scope", "unit", "limit", "window", "on_exceed") },
  { file: "integration/org-keys.test.ts", title: "hosts of the organisation's keys are allowed", keys: ["llm_keys"] },
  { file: secrets, title: "header, scheme and query say", keys: ["secrets", ...below("secrets.*.", "header", "scheme", "query")] },
  {
    file: "e2e/secrets.test.ts",
    title: "a binding of the configuration holds methods",
    keys: below("secrets.*.", "host", "methods", "paths"),
  },
  { file: "e2e/secrets.test.ts", title: "a value may come from a file or a command", keys: ["secrets.*.from"] },
  {
    file: secrets,
    title: "each key does what it says: tokens",
    keys: below(
      "secret_files.",
      "name",
      "path",
      "inside",
      "keep",
      ...below("tokens.", "at", "hosts", "methods", "paths"),
      ...below("refresh.", "url", "tokens", "expires_at", "refreshed_at", "scopes", "client_ids", "client_id", "parameters"),
    ),
  },
  { file: audit, title: "durability says whether", keys: ["audit.durability"] },
  { file: audit, title: "past max_bytes, with events that a stream has not had", keys: ["audit.on_failure", "audit.on_full"] },
  { file: audit, title: "max_bytes bounds the log", keys: ["audit.max_bytes"] },
  { file: audit, title: "max_age removes what is older", keys: ["audit.max_age"] },
  { file: server, title: "checkpoints are signed with the key of the file", keys: ["audit.checkpoint_key"] },
];
