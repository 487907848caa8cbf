import { createHash, randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, lstatSync, openSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { AppError, errnoOf } from "../../base/error.ts";
import { livenessOf, ownIdentity, type ProcessIdentity } from "../../base/process-identity.ts";

/** ms between looks at who else is there, by chance so that two do not go on giving way to each other */
const MIN_POLL_MS = 20;
const MAX_POLL_MS = 60;
/** ms after which one is gone that cannot be looked at, being in another pid namespace: several times what a refresh may take */
const UNSEEN_MS = 5 * 60_000;

/**
 * The right to renew a file with logins, of one process at a time; undefined when others had it all the time. It belongs to the file:
 * whoever has another state directory, another user's process too, has to ask in the same place.
 *
 * Each puts an empty file beside the login that names its process, then looks for others, and goes back when one of them lives. Whoever
 * came later sees who was first, so two never go on; who died, in whatever way, is seen to be dead and cleared away. Nothing in these
 * files is read, and what others than the login's owner put there does not count.
 *
 * @throws AppError FORBIDDEN when nothing can be put there: then what a renewal brings could not be stored there either
 */
export async function takeLoginLease(path: string, waitMs: number): Promise<Disposable | undefined> {
  const end = performance.now() + waitMs;
  const real = withoutLinks(path);
  const folder = dirname(real);
  const prefix = prefixOf(real);
  for (;;) {
    if (!isTaken(real, prefix)) {
      const own = join(folder, `${prefix}${ownName()}`);
      announce(own, folder);
      // whoever was there before this look is seen by it, and whoever comes after it sees us
      if (!isTaken(real, prefix, basename(own))) return { [Symbol.dispose]: () => rmSync(own, { force: true }) };
      rmSync(own, { force: true });
    }
    if (performance.now() >= end) return undefined;
    await setTimeout(MIN_POLL_MS + Math.random() * (MAX_POLL_MS - MIN_POLL_MS), undefined, { ref: false });
  }
}

/** One file has one lease, by whatever name it is known. */
export function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // away for a moment while somebody replaces it
    return path;
  }
}

function prefixOf(real: string): string {
  return `.agentkernel-${createHash("sha256").update(basename(real)).digest("hex").slice(0, 16)}.`;
}

/** Of this process and this turn: two parts of one process give way to each other as two processes do. */
function ownName(): string {
  const { bootId, pidNamespace, pid, startTicks } = ownIdentity();
  return `${bootId}.${pidNamespace}.${pid}.${startTicks}.${randomBytes(6).toString("hex")}.lease`;
}

const NAME = /^([0-9a-f]{32})\.(\d{1,20})\.([1-9]\d{0,9})\.(\d{1,20})\.[0-9a-f]{12}\.lease$/;

function announce(own: string, folder: string): void {
  try {
    closeSync(openSync(own, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
  } catch (error) {
    throw new AppError("FORBIDDEN", `the folder ${folder} of a file with logins cannot be written (${errnoOf(error) ?? "failed"})`, {
      hint: "make it writable for the user that runs agentkernel, or give a file of its own: --secret-file NAME:PATH",
      cause: error,
    });
  }
}

/** Whether somebody who lives is there. Who died is cleared away on the way. */
function isTaken(real: string, prefix: string, except?: string): boolean {
  const folder = dirname(real);
  let trusted: readonly number[] | undefined;
  for (const name of namesIn(folder)) {
    if (!name.startsWith(prefix) || name === except) continue;
    const match = NAME.exec(name.slice(prefix.length));
    if (match === null) continue;
    const [, bootId = "", pidNamespace = "", pid = "", startTicks = ""] = match;
    const other = join(folder, name);
    const found = lstatSync(other, { throwIfNoEntry: false });
    if (found === undefined) continue;
    trusted ??= trustedIn(real);
    if (!trusted.includes(found.uid)) continue;
    if (isHolding({ bootId, pidNamespace, pid: Number(pid), startTicks }, found.mtimeMs)) return true;
    clear(other);
  }
  return false;
}

function isHolding(identity: ProcessIdentity, sinceMs: number): boolean {
  const liveness = livenessOf(identity);
  if (liveness === "alive") return true;
  return (liveness === "unknown" || isHidden(identity)) && Date.now() - sinceMs < UNSEEN_MS;
}

/** Another user's process that proc(5) does not show under `hidepid`, and that the kernel knows all the same. */
function isHidden({ pid, bootId, pidNamespace }: ProcessIdentity): boolean {
  const here = ownIdentity();
  if (bootId !== here.bootId || pidNamespace !== here.pidNamespace || existsSync(`/proc/${pid}`)) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    // may be written and not be listed: then whoever else is there cannot be seen
    throw new AppError("FORBIDDEN", `the folder ${folder} of a file with logins cannot be read (${errnoOf(error) ?? "failed"})`, {
      hint: "make it readable for the user that runs agentkernel, or give a file of its own: --secret-file NAME:PATH",
      cause: error,
    });
  }
}

/** Whose files count: ours, root's, and those of whoever owns the login or its folder. In /tmp everybody may put something. */
function trustedIn(real: string): readonly number[] {
  const owners = [real, dirname(real)].map((path) => statSync(path, { throwIfNoEntry: false })?.uid);
  return [0, process.geteuid?.() ?? 0, ...owners.filter((uid) => uid !== undefined)];
}

function clear(other: string): void {
  try {
    rmSync(other, { force: true });
  } catch (error) {
    // somebody else's in a folder where only its owner may remove it; it is dead all the same
    if (errnoOf(error) !== "EPERM" && errnoOf(error) !== "EACCES") throw error;
  }
}
