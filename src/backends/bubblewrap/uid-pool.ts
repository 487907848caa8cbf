import { closeSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errnoOf } from "../../base/error.ts";
import { livenessOf, ownIdentity } from "../../base/process-identity.ts";
import type { FileOwner } from "../../sandbox/backend.ts";
import { holderName, parseHolderName } from "./holder-name.ts";

/** The system user whose subordinate ids sandboxes run as when agentkernel was started by root. */
export const POOL_USER = "agentkernel";
/** Of the machine, not of a state directory: whoever leased elsewhere would be taken for a leftover. Gone at the next boot, as it should. */
export const LEASE_DIR = "/run/agentkernel/uids";
export const POOL_REMEDY = `useradd --system --no-create-home --shell /usr/sbin/nologin --add-subids-for-system ${POOL_USER}`;

export type IdRange = { readonly firstUid: number; readonly firstGid: number; readonly count: number };

/** The first range that `user` has in the text of /etc/subuid or /etc/subgid. */
export function parseSubordinateIds(text: string, user: string): { readonly first: number; readonly count: number } | undefined {
  for (const line of text.split("\n")) {
    const [name, first, count] = line.trim().split(":");
    if (name !== user || !/^\d+$/.test(first ?? "") || !/^\d+$/.test(count ?? "")) continue;
    // uid 0 and the system's own uids are nothing to run a sandbox as, whatever the file says
    if (Number(first) >= 1000 && Number(count) > 0) return { first: Number(first), count: Number(count) };
  }
  return undefined;
}

/** @throws AppError BACKEND_UNAVAILABLE, with the command that makes the range, when there is none */
export async function readPoolRange(): Promise<IdRange> {
  const [uids, gids] = await Promise.all(
    ["/etc/subuid", "/etc/subgid"].map(async (path) => {
      try {
        return parseSubordinateIds(await readFile(path, "utf8"), POOL_USER);
      } catch (error) {
        if (errnoOf(error) === "ENOENT") return undefined;
        throw error;
      }
    }),
  );
  if (uids === undefined || gids === undefined)
    throw new AppError(
      "BACKEND_UNAVAILABLE",
      `started by root, but the user ${POOL_USER} has no subordinate uids for sandboxes to run as`,
      { hint: POOL_REMEDY },
    );
  return { firstUid: uids.first, firstGid: gids.first, count: Math.min(uids.count, gids.count) };
}

export type UidLease = { readonly owner: FileOwner; release(): void };

/**
 * One host uid per running sandbox, leased among all processes of this machine that were started by root. A taker announces itself with
 * a file of its own and then looks who else is there: two that meet both give way, so no uid ever has two holders, and a file is
 * removed only by its holder or when that is dead for ever. Taking and giving back are synchronous: the files lie in memory (/run), and
 * by way of the thread pool a start waited five times for what takes microseconds.
 */
export class UidPool {
  readonly range: IdRange;
  readonly #leaseDir: string;
  readonly #held = new Set<number>();
  #isMade = false;
  #next: number;

  constructor(range: IdRange, leaseDir: string = LEASE_DIR) {
    this.range = range;
    this.#leaseDir = leaseDir;
    this.#next = Math.floor(Math.random() * range.count);
  }

  /** @throws AppError LIMIT_EXCEEDED */
  acquire(): UidLease {
    if (!this.#isMade) mkdirSync(this.#leaseDir, { recursive: true, mode: 0o700 });
    this.#isMade = true;
    for (let tries = 0; tries < Math.min(this.range.count, 4096); tries += 1) {
      const index = this.#next;
      this.#next = (this.#next + 1) % this.range.count;
      if (this.#held.has(index)) continue;
      this.#held.add(index);
      const path = join(this.#leaseDir, holderName(ownIdentity(), String(index)));
      closeSync(openSync(path, "wx", 0o600));
      if (this.#isMine(index)) return this.#lease(index, path);
      this.#giveBack(index, path);
    }
    throw new AppError("LIMIT_EXCEEDED", `no free uid among the ${this.range.count} of ${POOL_USER}`, { hint: "stop some sandboxes" });
  }

  /** Whether a holder died without giving its uid back, which something may still run under. */
  async hasDeadHolders(): Promise<boolean> {
    await mkdir(this.#leaseDir, { recursive: true, mode: 0o700 });
    const leases = (await readdir(this.#leaseDir)).map((name) => parseHolderName(name));
    return leases.some((lease) => lease !== undefined && livenessOf(lease.holder) === "dead");
  }

  /** Uids of this range that a living process holds; files of dead holders are removed on the way. */
  async leased(): Promise<ReadonlySet<number>> {
    await mkdir(this.#leaseDir, { recursive: true, mode: 0o700 });
    const uids = new Set<number>();
    for (const name of await readdir(this.#leaseDir)) {
      const lease = parseHolderName(name);
      if (lease === undefined) continue;
      if (livenessOf(lease.holder) === "dead") await rm(join(this.#leaseDir, name), { force: true });
      else uids.add(this.range.firstUid + Number(lease.what));
    }
    return uids;
  }

  #isMine(index: number): boolean {
    let alone = true;
    for (const name of readdirSync(this.#leaseDir)) {
      const other = parseHolderName(name);
      if (other === undefined || other.what !== String(index) || name === holderName(ownIdentity(), String(index))) continue;
      if (livenessOf(other.holder) === "dead") rmSync(join(this.#leaseDir, name), { force: true });
      else alone = false;
    }
    return alone;
  }

  #lease(index: number, path: string): UidLease {
    return {
      owner: { uid: this.range.firstUid + index, gid: this.range.firstGid + index },
      release: () => this.#giveBack(index, path),
    };
  }

  #giveBack(index: number, path: string): void {
    rmSync(path, { force: true });
    this.#held.delete(index);
  }
}
