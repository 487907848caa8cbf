import { AppError } from "../base/error.ts";
import { livenessOf, ownIdentity } from "../base/process-identity.ts";
import type { SandboxState } from "../schema/api.ts";
import { integerOf, type Row, type Sql, textOf } from "./sql.ts";
import { isConstraint } from "./sqlite-error.ts";
import type { WalSync } from "./wal-sync.ts";

/** What the table needs to know of a record; the rest of it is kept as it is. Never holds a secret. */
export type SandboxRow = {
  readonly uuid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: SandboxState;
  readonly reason?: string;
  /** ms since 1970 */
  readonly createdAt: number;
};

const OWNER = "owner_pid, owner_start, owner_boot, owner_namespace";

type Fixed = "uuid" | "name" | "createdAt";

/**
 * Sandboxes, with the process that runs each. A removed one keeps its row, since usage is queried by name, and frees its name.
 * Writes are on disk a moment after they return (`Store.flush` waits for that).
 */
export class SandboxTable<R extends SandboxRow> {
  readonly #sql: Sql;
  readonly #wal: WalSync;

  constructor(sql: Sql, wal: WalSync) {
    this.#sql = sql;
    this.#wal = wal;
  }

  /** @throws AppError CONFLICT when a sandbox of that name exists */
  insert(record: R): void {
    const owner = ownIdentity();
    try {
      this.#write(() => {
        this.#sql.run(
          `INSERT INTO sandboxes (uuid, name, state, labels, created_at, owner_pid, owner_start, owner_boot, owner_namespace, record)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          record.uuid,
          record.name,
          record.state,
          JSON.stringify(record.labels),
          record.createdAt,
          owner.pid,
          owner.startTicks,
          owner.bootId,
          owner.pidNamespace,
          JSON.stringify(record),
        );
      });
    } catch (error) {
      if (isConstraint(error))
        throw new AppError("CONFLICT", `a sandbox named ${record.name} exists`, {
          hint: `agentkernel rm ${record.name}, or choose another name`,
        });
      throw error;
    }
  }

  /**
   * Changes fields, also of one that is removed (its end may be told late); an empty `reason` takes it away. The process that sets the state owns the sandbox from then on.
   * @throws AppError NOT_FOUND
   */
  update(uuid: string, change: Partial<Omit<R, Fixed>>): void {
    this.#write(() => {
      const record = this.#one(this.#sql.get("SELECT record FROM sandboxes WHERE uuid = ?", uuid));
      if (record === undefined) throw new AppError("NOT_FOUND", `there is no sandbox ${uuid}`);
      const { reason, ...rest } = { ...record, ...change };
      const changed = reason === undefined || reason === "" ? rest : { ...rest, reason };
      this.#sql.run(
        "UPDATE sandboxes SET state = ?, labels = ?, record = ? WHERE uuid = ?",
        changed.state,
        JSON.stringify(changed.labels),
        JSON.stringify(changed),
        uuid,
      );
      if (change.state !== undefined) this.#own(uuid);
    });
  }

  /**
   * Makes this process its owner, in this state. False when it is gone, or belongs to another process that lives: one that has it
   * running, or made it for one command. Of several processes that try, one succeeds.
   */
  claim(uuid: string, state: SandboxState): boolean {
    return this.#write(() => {
      const row = this.#sql.get(`SELECT state, record, ${OWNER} FROM sandboxes WHERE uuid = ? AND removed_at IS NULL`, uuid);
      if (row === undefined) return false;
      const record = recordOf<R>(row);
      const isTaken = isRunning(row) || ("isEphemeral" in record && record.isEphemeral === true);
      if (isTaken && ownerOf(row) === "other") return false;
      this.#sql.run("UPDATE sandboxes SET state = ?, record = ? WHERE uuid = ?", state, JSON.stringify({ ...record, state }), uuid);
      this.#own(uuid);
      return true;
    });
  }

  /** Another process that lives has it running. */
  isRunElsewhere(uuid: string): boolean {
    const row = this.#sql.get(`SELECT state, ${OWNER} FROM sandboxes WHERE uuid = ? AND removed_at IS NULL`, uuid);
    return row !== undefined && isRunning(row) && ownerOf(row) === "other";
  }

  byName(name: string): R | undefined {
    return this.#one(this.#sql.get("SELECT record FROM sandboxes WHERE name = ? AND removed_at IS NULL", name));
  }

  byUuid(uuid: string): R | undefined {
    return this.#one(this.#sql.get("SELECT record FROM sandboxes WHERE uuid = ? AND removed_at IS NULL", uuid));
  }

  /** By name. */
  list(filter: { readonly label?: readonly [key: string, value: string] } = {}): readonly R[] {
    const rows =
      filter.label === undefined
        ? this.#sql.all("SELECT record FROM sandboxes WHERE removed_at IS NULL ORDER BY name")
        : this.#sql.all(
            "SELECT record FROM sandboxes s WHERE removed_at IS NULL AND EXISTS (SELECT 1 FROM json_each(s.labels) WHERE key = ? AND value = ?) ORDER BY name",
            ...filter.label,
          );
    return rows.map(recordOf<R>);
  }

  /** All uuids that a name ever had, newest first, removed ones too. */
  uuidsOf(name: string): readonly string[] {
    return this.#sql
      .all("SELECT uuid FROM sandboxes WHERE name = ? ORDER BY created_at DESC, uuid", name)
      .map((row) => textOf(row, "uuid"));
  }

  /** Keeps the row for usage queries, frees the name; one that is gone is fine. */
  remove(uuid: string, nowMs: number = Date.now()): void {
    this.#write(() => {
      this.#sql.run("UPDATE sandboxes SET removed_at = ? WHERE uuid = ? AND removed_at IS NULL", nowMs, uuid);
    });
  }

  /** Forgets removed ones that have no usage; returns how many. */
  prune(removedBeforeMs: number): number {
    return this.#write(() =>
      this.#sql.run("DELETE FROM sandboxes WHERE removed_at < ? AND uuid NOT IN (SELECT sandbox_uuid FROM llm_usage)", removedBeforeMs),
    );
  }

  /**
   * Marks as stopped what processes that are dead left running, and returns those records as they are now.
   * `keep` leaves one as it is: a backend whose sandboxes outlive us looks for it itself.
   */
  markOrphansStopped(keep: (record: R) => boolean = () => false): readonly R[] {
    const chosen = new Set(
      this.#orphans()
        .filter((record) => !keep(record))
        .map(({ uuid }) => uuid),
    );
    if (chosen.size === 0) return [];
    return this.#write(() =>
      // looked at again: another process may have taken one over since
      this.#orphans()
        .filter(({ uuid }) => chosen.has(uuid))
        .map((orphan) => {
          const record = { ...orphan, state: "stopped", reason: "agentkernel ended while it ran" } as const;
          this.#sql.run("UPDATE sandboxes SET state = 'stopped', record = ? WHERE uuid = ?", JSON.stringify(record), orphan.uuid);
          return record;
        }),
    );
  }

  /** What processes that are dead left running. */
  #orphans(): readonly R[] {
    return this.#sql
      .all(`SELECT record, ${OWNER} FROM sandboxes WHERE removed_at IS NULL AND state IN ('creating', 'running', 'stopping')`)
      .filter((row) => ownerOf(row) === "none")
      .map(recordOf<R>);
  }

  #own(uuid: string): void {
    const owner = ownIdentity();
    this.#sql.run(
      "UPDATE sandboxes SET owner_pid = ?, owner_start = ?, owner_boot = ?, owner_namespace = ? WHERE uuid = ?",
      owner.pid,
      owner.startTicks,
      owner.bootId,
      owner.pidNamespace,
      uuid,
    );
  }

  #write<T>(work: () => T): T {
    const result = this.#sql.transaction(work, { isDurable: false });
    this.#wal.request();
    return result;
  }

  #one(row: Row | undefined): R | undefined {
    return row === undefined ? undefined : recordOf<R>(row);
  }
}

function recordOf<R>(row: Row): R {
  return JSON.parse(textOf(row, "record")) as R;
}

/** Whose a row is; one whose process cannot be looked at counts as another's that lives. */
function ownerOf(row: Row): "self" | "other" | "none" {
  const owner = {
    pid: integerOf(row, "owner_pid"),
    startTicks: textOf(row, "owner_start"),
    bootId: textOf(row, "owner_boot"),
    pidNamespace: textOf(row, "owner_namespace"),
  };
  const self = ownIdentity();
  const isSelf = owner.pid === self.pid && owner.startTicks === self.startTicks && owner.bootId === self.bootId;
  if (isSelf && owner.pidNamespace === self.pidNamespace) return "self";
  return livenessOf(owner) === "dead" ? "none" : "other";
}

function isRunning(row: Row): boolean {
  return ["creating", "running", "stopping"].includes(textOf(row, "state"));
}
