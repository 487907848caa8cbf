import { AppError } from "../base/error.ts";
import { integerOf, type Sql } from "./sql.ts";

/** In order; one that was released is never changed. `user_version` is the number of those applied. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE sandboxes (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER,
    owner_pid INTEGER NOT NULL,
    owner_start TEXT NOT NULL,
    owner_boot TEXT NOT NULL,
    owner_namespace TEXT NOT NULL,
    record TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX sandboxes_by_live_name ON sandboxes (name) WHERE removed_at IS NULL;
  CREATE INDEX sandboxes_by_name ON sandboxes (name, created_at);

  CREATE TABLE llm_calls (
    event_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    sandbox_uuid TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    response_id TEXT,
    counts_usage INTEGER NOT NULL,
    streaming INTEGER NOT NULL,
    error INTEGER NOT NULL,
    unmetered INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    total_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    reasoning_tokens INTEGER,
    cost_nano INTEGER,
    event TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX llm_calls_by_sandbox ON llm_calls (sandbox_uuid, at);
  CREATE INDEX llm_calls_by_time ON llm_calls (at);
  CREATE INDEX llm_calls_by_response ON llm_calls (provider, response_id) WHERE response_id IS NOT NULL;

  CREATE TABLE llm_usage (
    sandbox_uuid TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    day TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    request_count INTEGER NOT NULL,
    streaming_count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    unmetered_requests INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL,
    priced_requests INTEGER NOT NULL,
    total_input_tokens INTEGER NOT NULL,
    total_output_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    last_request INTEGER NOT NULL,
    PRIMARY KEY (sandbox_uuid, provider, model, day)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX llm_usage_by_name ON llm_usage (sandbox, last_request);

  CREATE TABLE llm_cleared (sandbox_uuid TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE detached (
    id TEXT PRIMARY KEY,
    sandbox_uuid TEXT NOT NULL,
    command TEXT NOT NULL,
    pid INTEGER NOT NULL,
    status TEXT NOT NULL,
    exit_code INTEGER,
    started_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX detached_by_sandbox ON detached (sandbox_uuid, started_at);

  CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    ciphertext BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE policy_rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox_uuid TEXT,
    rule TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  `,
  // the condition is the one that the ledger asks with, word for word: only then may SQLite use the index
  `
  CREATE INDEX llm_calls_fetched ON llm_calls (provider, response_id)
    WHERE counts_usage = 1 AND json_extract(event, '$.operation') IN ('fetch_response', 'fetch_batch', 'batch_results');
  `,
  `
  CREATE TABLE llm_budgets (id TEXT PRIMARY KEY, budget TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE llm_budget_used (
    meter TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (meter, bucket)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE llm_budget_reserved (
    meter TEXT NOT NULL,
    call_id TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    is_lasting INTEGER NOT NULL,
    at INTEGER NOT NULL,
    owner_pid INTEGER NOT NULL,
    owner_start TEXT NOT NULL,
    owner_boot TEXT NOT NULL,
    owner_namespace TEXT NOT NULL,
    PRIMARY KEY (meter, call_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE llm_budget_level (meter TEXT PRIMARY KEY, period INTEGER NOT NULL, level INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  `,
  "CREATE TABLE llm_keys (target TEXT PRIMARY KEY, vault_key_name TEXT NOT NULL) STRICT, WITHOUT ROWID;",
  // sums of calls that are forgotten one by one; those of the others are made when somebody asks
  `
  CREATE TABLE llm_label_usage (
    label TEXT NOT NULL,
    sandbox_uuid TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    day TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    request_count INTEGER NOT NULL,
    streaming_count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    unmetered_requests INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL,
    priced_requests INTEGER NOT NULL,
    total_input_tokens INTEGER NOT NULL,
    total_output_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    last_request INTEGER NOT NULL,
    PRIMARY KEY (label, sandbox_uuid, provider, model, day)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX llm_label_usage_by_sandbox ON llm_label_usage (sandbox_uuid);
  `,
  `
  CREATE TABLE llm_contexts (key BLOB PRIMARY KEY, tokens INTEGER NOT NULL, used_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX llm_contexts_by_use ON llm_contexts (used_at);
  `,
];

/**
 * Brings the schema to this program's version, one process at a time.
 * @throws AppError STATE_NEWER
 */
export function migrate(sql: Sql, migrations: readonly string[] = MIGRATIONS): void {
  if (versionOf(sql, migrations) === migrations.length) return;
  sql.transaction(
    () => {
      // another process may have been first while we waited for the lock
      for (let version = versionOf(sql, migrations); version < migrations.length; version += 1) {
        sql.exec(migrations[version] ?? "");
        sql.exec(`PRAGMA user_version = ${version + 1}`);
      }
    },
    { isDurable: true },
  );
}

function versionOf(sql: Sql, migrations: readonly string[]): number {
  const row = sql.get("PRAGMA user_version");
  const version = row === undefined ? 0 : integerOf(row, "user_version");
  if (version > migrations.length) {
    throw new AppError("STATE_NEWER", `the state ${sql.file} has schema ${version}, this program knows up to ${migrations.length}`, {
      hint: "use the newer agentkernel, or set AGENTKERNEL_HOME to another directory",
    });
  }
  return version;
}
