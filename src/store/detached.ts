import type { StoredExec } from "../schema/stored-exec.ts";
import { integerOf, optionalIntegerOf, type Row, type Sql, textOf } from "./sql.ts";

export class DetachedTable {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  insert(exec: StoredExec): void {
    this.#sql.transaction(
      () => {
        this.#sql.run(
          "INSERT INTO detached (id, sandbox_uuid, command, pid, status, exit_code, started_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
          exec.id,
          exec.sandboxUuid,
          JSON.stringify(exec.command),
          exec.pid,
          exec.status,
          exec.exitCode,
          exec.startedAt,
        );
      },
      { isDurable: false },
    );
  }

  finish(id: string, status: "completed" | "failed", exitCode: number | null): void {
    this.#sql.transaction(
      () => {
        this.#sql.run("UPDATE detached SET status = ?, exit_code = ? WHERE id = ?", status, exitCode, id);
      },
      { isDurable: false },
    );
  }

  get(sandboxUuid: string, id: string): StoredExec | undefined {
    const row = this.#sql.get("SELECT * FROM detached WHERE sandbox_uuid = ? AND id = ?", sandboxUuid, id);
    return row === undefined ? undefined : execOf(row);
  }

  /** Oldest first. */
  list(sandboxUuid: string): readonly StoredExec[] {
    return this.#sql.all("SELECT * FROM detached WHERE sandbox_uuid = ? ORDER BY started_at, id", sandboxUuid).map(execOf);
  }

  /** The sandbox has ended, and its commands with it: how, nobody saw. */
  failRunning(sandboxUuid: string): number {
    return this.#sql.transaction(
      () => this.#sql.run("UPDATE detached SET status = 'failed' WHERE sandbox_uuid = ? AND status = 'running'", sandboxUuid),
      { isDurable: false },
    );
  }

  remove(id: string): void {
    this.#sql.transaction(
      () => {
        this.#sql.run("DELETE FROM detached WHERE id = ?", id);
      },
      { isDurable: false },
    );
  }

  removeAll(sandboxUuid: string): void {
    this.#sql.transaction(
      () => {
        this.#sql.run("DELETE FROM detached WHERE sandbox_uuid = ?", sandboxUuid);
      },
      { isDurable: false },
    );
  }
}

function execOf(row: Row): StoredExec {
  return {
    id: textOf(row, "id"),
    sandboxUuid: textOf(row, "sandbox_uuid"),
    command: JSON.parse(textOf(row, "command")) as readonly string[],
    pid: integerOf(row, "pid"),
    status: textOf(row, "status") as StoredExec["status"],
    exitCode: optionalIntegerOf(row, "exit_code") ?? null,
    startedAt: integerOf(row, "started_at"),
  };
}
