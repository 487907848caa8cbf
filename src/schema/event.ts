import { z } from "zod";
import { EVENT_SCHEMA_VERSION } from "./event-version.ts";
import { callOutcome, providerId, usageSource } from "./provider.ts";

/**
 * The canonical record of everything that happened. One shape per family, discriminated by `type`; flat and snake_case, since
 * it is what hooks, streams, the API and the log show. Mappings (OCSF, native audit) are made from it and never the other way.
 */

/** Who caused it. `user_id` is the operating system's user name or the API key's name; a sandbox's own traffic is `sandbox`. */
export const actor = z.strictObject({
  kind: z.enum(["user", "api_key", "token", "sandbox", "system"]),
  user_id: z.string(),
  email: z.string().optional(),
  org_id: z.string().optional(),
  ip_address: z.string().optional(),
});
export type Actor = z.infer<typeof actor>;

/** The policy generation a decision was made under. */
export const policyRef = z.strictObject({ id: z.string(), name: z.string().optional(), version: z.int().nonnegative() });

export const outcome = z.enum(["permit", "deny", "error", "info"]);
export type Outcome = z.infer<typeof outcome>;

const base = {
  /** `evt_…`, sorts by time, the dedupe key everywhere */
  id: z.string(),
  schema_version: z.literal(EVENT_SCHEMA_VERSION),
  /** RFC 3339, UTC, ms */
  timestamp: z.string(),
  actor,
  outcome,
  /** name of the sandbox it is about */
  sandbox: z.string().optional(),
  sandbox_uuid: z.string().optional(),
  /** ties the events of one API request or one exchange together */
  request_id: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
};

/** A sandbox was created, started, stopped, removed …, asked for (`actor`) or by itself (`actor.kind = "system"`). */
export const sandboxEvent = z.strictObject({
  ...base,
  type: z.literal("sandbox.operation"),
  operation: z.enum(["create", "start", "stop", "remove", "end", "extend", "attach", "adopt"]),
  backend: z.string(),
  profile: z.string().optional(),
  image: z.string().optional(),
  /** end reason, failure or note; one sentence */
  reason: z.string().optional(),
  error_code: z.string().optional(),
  duration_ms: z.number().optional(),
});

/** A command in a sandbox; one event when it was launched or refused, one when it ended. */
export const execEvent = z.strictObject({
  ...base,
  type: z.literal("sandbox.exec"),
  operation: z.enum(["launch", "exit"]),
  exec_id: z.string(),
  /** argv, secrets redacted, capped */
  command: z.array(z.string()),
  cwd: z.string().optional(),
  tty: z.boolean().optional(),
  exit_code: z.int().nullable().optional(),
  signal: z.string().optional(),
  reason: z.string().optional(),
  error_code: z.string().optional(),
  duration_ms: z.number().optional(),
});

/** Files of a workspace that run on the host later and were changed from inside, and the outcome of a write-back. */
export const workspaceEvent = z.strictObject({
  ...base,
  type: z.literal("sandbox.workspace"),
  operation: z.enum(["copy", "apply", "discard", "conflict"]),
  path: z.string(),
  created: z.int().nonnegative(),
  modified: z.int().nonnegative(),
  deleted: z.int().nonnegative(),
  /** relative paths such as `.git/hooks/pre-commit`, capped */
  sensitive: z.array(z.string()),
  reason: z.string().optional(),
});

/**
 * The beginning of a body, for hooks that asked for it with `include_body`; nothing else shows it. Decoded from its content coding,
 * secrets masked.
 */
export const shownBody = z.strictObject({
  content: z.string(),
  encoding: z.enum(["utf8", "base64"]),
  /** bytes of the whole body as it was sent; null while it is not known */
  size: z.int().nonnegative().nullable(),
  /** there is more than `content` */
  truncated: z.boolean(),
  /**
   * its content coding is unknown or does not fit its bytes: `content` is what was sent, or as far as it could be decoded, and what its
   * receiver makes of it is not known
   */
  undecodable: z.literal(true).optional(),
});
export type ShownBody = z.infer<typeof shownBody>;

/** One HTTP exchange through the gateway, allowed, denied, failed or aborted. The product's "proxy event". */
export const exchangeEvent = z.strictObject({
  ...base,
  type: z.literal("egress.exchange"),
  method: z.string(),
  /** full URL, credentials in it redacted, capped */
  url: z.string(),
  host: z.string(),
  port: z.int(),
  /** HTTP status the sandbox saw; null when the connection ended before one */
  status: z.int().nullable(),
  decision: z.enum(["allow", "deny"]),
  /** observe mode: allowed, but enforcing would have denied it; `rule` and `reason` are the denial's */
  observed: z.literal(true).optional(),
  rule: z.string(),
  reason: z.string(),
  policy: policyRef,
  /** address that was dialled */
  address: z.string().optional(),
  address_class: z.string().optional(),
  protocol: z.enum(["http/1.1", "h2", "websocket"]),
  inspected: z.boolean(),
  secret_injected: z.boolean(),
  bytes_in: z.int().nonnegative(),
  bytes_out: z.int().nonnegative(),
  latency_ms: z.number(),
  /** how the exchange ended when it was allowed */
  end: z.enum(["complete", "aborted", "upstream_error", "error"]).optional(),
  error_code: z.string().optional(),
  provider: providerId.optional(),
  /** for hooks that asked for it */
  request_body: shownBody.optional(),
  /** for hooks that asked for it; as the sandbox got it */
  response_body: shownBody.optional(),
});

/** A decision that no HTTP exchange carries: TLS without a name, a refused DNS type, a connection to an address, a bad head. */
export const decisionEvent = z.strictObject({
  ...base,
  type: z.literal("egress.decision"),
  decision: z.enum(["allow", "deny"]),
  /** made for hooks that want to know before a request is sent: the exchange itself has its own event later */
  phase: z.literal("request").optional(),
  method: z.string().optional(),
  /** full URL, credentials in it redacted, capped */
  url: z.string().optional(),
  provider: providerId.optional(),
  protocol: z.enum(["tcp", "tls", "dns", "http", "tunnel"]),
  host: z.string().optional(),
  port: z.int().optional(),
  address: z.string().optional(),
  rule: z.string(),
  reason: z.string(),
  policy: policyRef,
  /** how many equal decisions this event stands for, when a flood was folded into one */
  count: z.int().positive().optional(),
  bytes_in: z.int().nonnegative().optional(),
  bytes_out: z.int().nonnegative().optional(),
  duration_ms: z.number().optional(),
  /** for hooks that asked for it; only with `phase` */
  request_body: shownBody.optional(),
});

/** One model call. The product's "LLM event"; token fields are null when unknown, never zero for it. */
export const llmEvent = z.strictObject({
  ...base,
  type: z.literal("llm.call"),
  provider: providerId,
  host: z.string(),
  method: z.string(),
  /** without query */
  path: z.string(),
  /** requested model, `"unknown"` when the request names none */
  model: z.string(),
  response_model: z.string().nullable(),
  /** chat, responses, messages, generate_content, embeddings, count_tokens … */
  operation: z.string(),
  status: z.int().nullable(),
  latency_ms: z.number(),
  /** ms from the request's first byte to the response's first body byte */
  ttft_ms: z.number().nullable(),
  streaming: z.boolean(),
  /** includes cache reads and writes */
  input_tokens: z.int().nonnegative().nullable(),
  /** includes reasoning */
  output_tokens: z.int().nonnegative().nullable(),
  total_tokens: z.int().nonnegative().nullable(),
  cache_read_tokens: z.int().nonnegative().nullable(),
  cache_write_tokens: z.int().nonnegative().nullable(),
  reasoning_tokens: z.int().nonnegative().nullable(),
  billed_input_tokens: z.int().nonnegative().nullable().optional(),
  billed_output_tokens: z.int().nonnegative().nullable().optional(),
  usage_source: usageSource,
  /** why usage is missing: not_sent, aborted, unparsable, encoding, tap_overflow */
  usage_missing: z.string().optional(),
  /** a key that is read (model, stream …) stands there twice with two values, or in capitals: readers disagree; `model` is the last */
  request_ambiguous: z.literal(true).optional(),
  /** the request's body is neither the JSON nor the form it should be, or broke off: model and stream flag are what could be read of it */
  request_unparsable: z.literal(true).optional(),
  call_outcome: callOutcome,
  /** US dollars; null when the price is unknown */
  cost_usd: z.number().nonnegative().nullable(),
  /** the provider's id of the response; equal ids are counted once */
  response_id: z.string().optional(),
  secret_injected: z.boolean(),
  key_source: z.enum(["org", "sandbox", "none"]),
  decision: z.enum(["allow", "deny"]),
});

/**
 * A caller of the API was let in or turned away. One event is written for each session of a caller that is let in: a credential from an
 * address by a way in, until 15 minutes pass without a request, an hour has passed, or somebody was refused at that address. Refusals are
 * written one by one, up to 60 a minute, and of those beyond one for each address when the minute is over.
 */
export const authEvent = z.strictObject({
  ...base,
  type: z.literal("auth.attempt"),
  method: z.enum(["unix_socket", "loopback_uid", "api_key", "token"]),
  /** of the request that made the event */
  path: z.string(),
  reason: z.string().optional(),
  /** requests that the event stands for; absent: one */
  count: z.int().positive().optional(),
});

/** Secrets, policy, keys, budgets, hooks, configuration: what was changed, never the value. */
export const changeEvent = z.strictObject({
  ...base,
  type: z.literal("admin.change"),
  resource_type: z.enum(["secret", "policy", "llm_key", "budget", "hook", "stream", "config", "usage", "trust"]),
  resource_id: z.string(),
  operation: z.enum(["create", "update", "delete", "reload"]),
  reason: z.string().optional(),
  policy: policyRef.optional(),
});

/** A budget when one of its thresholds was passed, or a call exceeded it that it only warns about. Amounts in `unit`. */
export const budgetLevel = z.strictObject({
  id: z.string(),
  scope: z.string(),
  unit: z.enum(["usd", "tokens", "requests", "concurrent"]),
  window: z.string(),
  limit: z.number(),
  used: z.number(),
  /** the threshold that was passed; absent for a call that exceeded it */
  percent: z.int().optional(),
});
export type BudgetLevel = z.infer<typeof budgetLevel>;

/** A finding: something that should not happen did, or was tried. */
export const findingEvent = z.strictObject({
  ...base,
  type: z.literal("security.finding"),
  finding: z.string(),
  severity: z.enum(["low", "medium", "high", "critical"]),
  host: z.string().optional(),
  rule: z.string().optional(),
  reason: z.string(),
  /** of `budget_threshold` and `budget_exceeded` */
  budget: budgetLevel.optional(),
});

/** Warm sandboxes: refills, claims, reaps. */
export const poolEvent = z.strictObject({
  ...base,
  type: z.literal("pool.change"),
  pool: z.string(),
  operation: z.enum(["refill", "claim", "reap", "drain"]),
  reason: z.string().optional(),
});

/** The audit log about itself: started, stopped, rotated, recovered, gap. */
export const auditLogEvent = z.strictObject({
  ...base,
  type: z.literal("audit.log"),
  operation: z.enum(["start", "stop", "rotate", "export", "recovered", "gap", "delete", "tampered"]),
  segment: z.string().optional(),
  first_seq: z.int().optional(),
  last_seq: z.int().optional(),
  bytes: z.int().optional(),
  reason: z.string().optional(),
});

export const event = z.discriminatedUnion("type", [
  sandboxEvent,
  execEvent,
  workspaceEvent,
  exchangeEvent,
  decisionEvent,
  llmEvent,
  authEvent,
  changeEvent,
  findingEvent,
  poolEvent,
  auditLogEvent,
]);

export type SandboxEvent = z.infer<typeof sandboxEvent>;
export type ExecEvent = z.infer<typeof execEvent>;
export type WorkspaceEvent = z.infer<typeof workspaceEvent>;
export type ExchangeEvent = z.infer<typeof exchangeEvent>;
export type DecisionEvent = z.infer<typeof decisionEvent>;
export type LlmEvent = z.infer<typeof llmEvent>;
export type AuthEvent = z.infer<typeof authEvent>;
export type ChangeEvent = z.infer<typeof changeEvent>;
export type FindingEvent = z.infer<typeof findingEvent>;
export type PoolEvent = z.infer<typeof poolEvent>;
export type AuditLogEvent = z.infer<typeof auditLogEvent>;
export type Event = z.infer<typeof event>;
export type EventType = Event["type"];

/** What a caller of `append` gives: the log adds id, schema version and time. */
export type NewEvent = {
  [T in EventType]: Omit<Extract<Event, { type: T }>, "id" | "schema_version" | "timestamp"> & { id?: string; timestamp?: string };
}[EventType];
