import { chmodSync, closeSync, constants, mkdirSync, openSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AppError, isDiskFull, messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import type { BudgetRequest } from "../schema/budget.ts";
import { BudgetTable } from "./budgets.ts";
import { ContextTable } from "./contexts.ts";
import { DetachedTable } from "./detached.ts";
import { Ledger } from "./ledger.ts";
import type { EgressRuleSettings } from "../schema/settings.ts";
import { LlmKeyTable } from "./llm-keys.ts";
import { MetaTable } from "./meta.ts";
import { migrate } from "./migrations.ts";
import { PolicyRuleTable } from "./policy-rules.ts";
import { type SandboxRow, SandboxTable } from "./sandboxes.ts";
import { SecretTable } from "./secrets.ts";
import { Sql } from "./sql.ts";
import { isUnopened, primaryCode, translateSqlite } from "./sqlite-error.ts";
import { UsageQueries } from "./usage-queries.ts";
import { WalSync } from "./wal-sync.ts";

/** How long a statement waits for another process's short transaction. */
const BUSY_MS = 5000;

/** The state of one installation, shared by its processes. */
export interface Store<R extends SandboxRow = SandboxRow> extends AsyncDisposable {
  readonly file: string;
  readonly sandboxes: SandboxTable<R>;
  readonly ledger: Ledger;
  readonly usage: UsageQueries;
  readonly detached: DetachedTable;
  readonly secrets: SecretTable;
  readonly policyRules: PolicyRuleTable<EgressRuleSettings>;
  readonly budgets: BudgetTable<BudgetRequest>;
  readonly contexts: ContextTable;
  readonly llmKeys: LlmKeyTable;
  readonly meta: MetaTable;
  /** resolves when everything written so far is on disk */
  flush(): Promise<void>;
}

/**
 * @param file path of the database, made with mode 0600 when missing, its directory with 0700; `:memory:` for tests
 * @throws AppError STATE_UNUSABLE, STATE_NEWER, STATE_LOCKED, DISK_FULL
 */
export function openStore<R extends SandboxRow = SandboxRow>(file: string, options: { readonly log: Log }): Store<R> {
  if (file !== ":memory:") prepareFile(file);
  const sql = new Sql(file, connect(file));
  try {
    migrate(sql);
  } catch (error) {
    sql[Symbol.dispose]();
    throw error;
  }
  const wal = new WalSync(file, options.log);
  return {
    file,
    sandboxes: new SandboxTable<R>(sql, wal),
    ledger: new Ledger(sql),
    usage: new UsageQueries(sql),
    detached: new DetachedTable(sql),
    secrets: new SecretTable(sql),
    policyRules: new PolicyRuleTable(sql),
    budgets: new BudgetTable(sql),
    contexts: new ContextTable(sql),
    llmKeys: new LlmKeyTable(sql),
    meta: new MetaTable(sql),
    flush: () => wal.flush(),
    [Symbol.asyncDispose]: async () => {
      await wal.flush();
      sql[Symbol.dispose]();
    },
  };
}

/** SQLite gives `-wal` and `-shm` the mode of the database, so that is what must be right. */
function prepareFile(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    closeSync(openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
    chmodSync(file, 0o600);
  } catch (error) {
    throw cannotPrepare(file, error);
  }
}

function cannotPrepare(file: string, cause: unknown): AppError {
  if (isDiskFull(cause))
    return new AppError("DISK_FULL", `the state ${file} cannot be written: ${messageOf(cause)}`, {
      cause,
      hint: "free space on its file system",
    });
  return new AppError("STATE_UNUSABLE", `the state ${file} cannot be opened: ${messageOf(cause)}`, {
    cause,
    hint: `make ${dirname(file)} writable for this user, or set AGENTKERNEL_HOME to another directory`,
  });
}

function connect(file: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: BUSY_MS, enableForeignKeyConstraints: true, defensive: true });
    enterWal(database);
    database.exec("PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF");
    return database;
  } catch (error) {
    try {
      if (isUnopened(error)) prepareBeside(file);
    } finally {
      database?.close();
    }
    throw translateSqlite(error, file);
  }
}

/**
 * SQLite says only that it could not open a file, and the database itself could be opened: it is one of those beside it. What the system
 * says to one of ours there is why.
 */
function prepareBeside(file: string): void {
  const probe = `${file}.${process.pid}.probe`;
  try {
    closeSync(openSync(probe, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
    unlinkSync(probe);
  } catch (error) {
    throw cannotPrepare(file, error);
  }
}

/** The change to WAL, once in a database's life, does not wait for other connections, busy timeout or not. */
function enterWal(database: DatabaseSync): void {
  const deadline = Date.now() + BUSY_MS;
  for (;;) {
    try {
      database.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (error) {
      if (primaryCode(error) !== 5 || Date.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}
