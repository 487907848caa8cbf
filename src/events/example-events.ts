import { type Actor, auditLogEvent, changeEvent, type Event, execEvent, poolEvent, sandboxEvent, workspaceEvent } from "../schema/event.ts";
import { EVENT_SCHEMA_VERSION } from "../schema/event-version.ts";

/**
 * One event of every kind and operation, as the product writes them: what the reference shows, and what `config check` maps to see
 * that a stream's format holds.
 */

const OPERATOR: Actor = { kind: "api_key", user_id: "ci-bot", email: "ci@example.com", org_id: "acme", ip_address: "192.0.2.10" };
const SYSTEM: Actor = { kind: "system", user_id: "agentkernel" };
const INSIDE: Actor = { kind: "sandbox", user_id: "web" };
const POLICY = { id: "moderate", name: "moderate", version: 7 } as const;
const DENIED = { decision: "deny", outcome: "deny", rule: "default", reason: "no rule allows this host" } as const;
const TRAFFIC = { bytes_in: 5_120, bytes_out: 740 } as const;

const base = {
  id: "evt_01kagq8y5r0000examplesx",
  schema_version: EVENT_SCHEMA_VERSION,
  timestamp: "2026-11-21T10:00:00.000Z",
  actor: OPERATOR,
  outcome: "permit",
  sandbox: "web",
  sandbox_uuid: "0b0e7f0e-6a3a-4b52-9a64-1d7f3c1f5a10",
  request_id: "req_01kagq8y5r0000examplesx",
  labels: { team: "payments" },
} as const;
const inside = { ...base, actor: INSIDE } as const;

const sandboxEvents: readonly Event[] = [OPERATOR, SYSTEM].flatMap((actor) =>
  sandboxEvent.shape.operation.options.map(
    (operation): Event => ({
      ...base,
      actor,
      type: "sandbox.operation",
      operation,
      backend: "bubblewrap",
      profile: "moderate",
      image: "node:24",
      duration_ms: 182.4,
    }),
  ),
);

const execEvents = execEvent.shape.operation.options.map(
  (operation): Event => ({
    ...base,
    type: "sandbox.exec",
    operation,
    exec_id: "exe_01kagq8y5r0000examplesx",
    command: ["npm", "test"],
    cwd: "/workspace",
    ...(operation === "exit" ? { exit_code: 0, duration_ms: 4_210 } : {}),
  }),
);

const workspaceEvents = workspaceEvent.shape.operation.options.map(
  (operation): Event => ({
    ...base,
    outcome: operation === "conflict" ? "error" : "info",
    type: "sandbox.workspace",
    operation,
    path: "/srv/shop",
    created: 2,
    modified: 5,
    deleted: 0,
    sensitive: [".git/hooks/pre-commit"],
  }),
);

const exchange = {
  ...inside,
  type: "egress.exchange",
  url: "https://packages.example.com/left-pad",
  host: "packages.example.com",
  port: 443,
  status: 200,
  decision: "allow",
  rule: "npm",
  reason: "allowed by rule npm",
  policy: POLICY,
  address: "104.16.1.34",
  address_class: "public",
  protocol: "h2",
  inspected: true,
  secret_injected: false,
  ...TRAFFIC,
  latency_ms: 38.2,
  end: "complete",
} as const;
const exchangeEvents: readonly Event[] = [
  ...["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH", "PROPFIND"].map((method) => ({
    ...exchange,
    method,
  })),
  {
    ...exchange,
    method: "GET",
    ...DENIED,
    rule: "address",
    reason: "the address is private",
    address: "10.0.0.7",
    address_class: "private",
    status: 403,
  },
  { ...exchange, method: "POST", ...DENIED, status: 403 },
  { ...exchange, method: "GET", outcome: "error", status: null, end: "upstream_error", error_code: "UPSTREAM_ERROR" },
  { ...exchange, method: "GET", observed: true },
];

const decision = { ...inside, type: "egress.decision", ...DENIED, host: "example.org", port: 443, policy: POLICY } as const;
const decisionEvents: readonly Event[] = [
  { ...decision, protocol: "dns" },
  { ...decision, protocol: "tls" },
  { ...decision, protocol: "http", rule: "protocol", reason: "the request line is malformed" },
  { ...decision, protocol: "tunnel", decision: "allow", outcome: "permit", ...TRAFFIC },
  { ...decision, protocol: "tcp", decision: "allow", outcome: "permit" },
];

const llmCall = {
  ...inside,
  type: "llm.call",
  provider: "anthropic",
  host: "api.anthropic.com",
  method: "POST",
  path: "/v1/messages",
  model: "claude-sonnet",
  response_model: "claude-sonnet-20260501",
  operation: "messages",
  status: 200,
  latency_ms: 2_310.5,
  ttft_ms: 640.2,
  streaming: true,
  input_tokens: 1_843,
  output_tokens: 212,
  total_tokens: 2_055,
  cache_read_tokens: 1_024,
  cache_write_tokens: 0,
  reasoning_tokens: null,
  usage_source: "reported",
  call_outcome: "ok",
  cost_usd: 0.0087,
  response_id: "msg_01",
  secret_injected: true,
  key_source: "org",
  decision: "allow",
} as const;
const llmEvents: readonly Event[] = [
  llmCall,
  { ...llmCall, outcome: "deny", decision: "deny", call_outcome: "denied", status: 429, input_tokens: null },
  { ...llmCall, request_ambiguous: true, request_unparsable: true },
];

const auth = { ...base, type: "auth.attempt", method: "api_key", path: "/sandboxes" } as const;
const authEvents: readonly Event[] = [
  { ...auth, count: 12 },
  { ...auth, method: "unix_socket", count: 1 },
  { ...auth, outcome: "deny", reason: "the key is not known" },
];

const changeEvents = changeEvent.shape.operation.options.map(
  (operation): Event => ({ ...base, type: "admin.change", resource_type: "policy", resource_id: "moderate", operation, policy: POLICY }),
);

const findingEvents: readonly Event[] = [
  {
    ...inside,
    outcome: "deny",
    type: "security.finding",
    finding: "secret_misplaced",
    severity: "high",
    host: "paste.example.net",
    rule: "secret:GITHUB_TOKEN",
    reason: "a placeholder was sent to a host that it is not bound to",
  },
  {
    ...base,
    actor: SYSTEM,
    outcome: "info",
    type: "security.finding",
    finding: "budget_threshold",
    severity: "low",
    rule: "budget:team",
    reason: "80 % of the budget team is used: $40.11 of $50.00 this month",
    budget: { id: "team", scope: "label:team=payments", unit: "usd", window: "month", limit: 50, used: 40.11, percent: 80 },
  },
];

const poolEvents: readonly Event[] = [OPERATOR, SYSTEM].flatMap((actor) =>
  poolEvent.shape.operation.options.map((operation): Event => ({ ...base, actor, type: "pool.change", pool: "default", operation })),
);

const { sandbox: _sandbox, sandbox_uuid: _uuid, labels: _labels, request_id: _request, ...alone } = base;
const auditLogEvents = auditLogEvent.shape.operation.options.map(
  (operation): Event => ({
    ...alone,
    actor: SYSTEM,
    outcome: operation === "gap" || operation === "tampered" ? "error" : "info",
    type: "audit.log",
    operation,
    segment: "000000000001.jsonl",
    first_seq: 1,
    last_seq: 48,
    bytes: 116_640,
  }),
);

export const EXAMPLE_EVENTS: readonly Event[] = [
  ...sandboxEvents,
  ...execEvents,
  ...workspaceEvents,
  ...exchangeEvents,
  ...decisionEvents,
  ...llmEvents,
  ...authEvents,
  ...changeEvents,
  ...findingEvents,
  ...poolEvents,
  ...auditLogEvents,
];
