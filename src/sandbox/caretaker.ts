import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import { removeTree } from "../base/remove-tree.ts";
import type { EndReason } from "./backend.ts";
import type { SandboxManager } from "./manager.ts";
import type { DetachedRepository, SandboxRecord, SandboxRepository } from "./record.ts";
import { SYSTEM } from "./subject.ts";

export type CaretakerOptions = {
  readonly manager: SandboxManager;
  readonly repository: SandboxRepository;
  readonly detached: DetachedRepository;
  /** one folder per sandbox */
  readonly directory: string;
  /** also what no process runs: there is one such caretaker, in the server */
  readonly everyones: boolean;
  readonly clock: Clock;
  readonly log: Log;
};

/** Ends what has expired, and clears up after processes that died. What cannot be removed does not keep the rest. */
export class Caretaker {
  readonly #options: CaretakerOptions;
  #isReaping = false;

  constructor(options: CaretakerOptions) {
    this.#options = options;
  }

  /** Removes sandboxes whose time is over. */
  async reap(): Promise<void> {
    if (this.#isReaping) return;
    this.#isReaping = true;
    try {
      const { manager, repository } = this.#options;
      const reason: EndReason = { kind: "timeout", message: "its time was over" };
      for (const record of repository.list().filter((one) => this.#isDue(one))) {
        // asked again when its turn comes: it may have been extended, or started by another process
        const unless = (now: SandboxRecord): boolean => !this.#isDue(now);
        const removing = manager.remove(SYSTEM, record, { apply: record.workspace?.apply ?? false, reason, unless });
        await removing.catch((error: unknown) => this.#warn("a sandbox whose time is over cannot be removed", record.name, error));
      }
    } finally {
      this.#isReaping = false;
    }
  }

  #isDue({ uuid, expiresAt }: SandboxRecord): boolean {
    const { manager, repository, everyones, clock } = this.#options;
    if (expiresAt === undefined || expiresAt > clock.now()) return false;
    return manager.isRunning(uuid) || (everyones && !repository.isRunElsewhere(uuid));
  }

  /**
   * What processes that died left running is marked as stopped, what they made for one command is removed, unless its workspace
   * copy holds changes: those are somebody's work.
   */
  async recover(): Promise<void> {
    const { manager, repository, detached, everyones } = this.#options;
    for (const { uuid } of repository.markOrphansStopped()) detached.failRunning(uuid);
    for (const record of repository.list()) {
      if (record.isEphemeral !== true || manager.isRunning(record.uuid) || !repository.claim(record.uuid, "stopped")) continue;
      const reason: EndReason = { kind: "killed", message: "agentkernel ended while it ran" };
      const removing = manager.remove(SYSTEM, record, { apply: false, reason, keepChanged: true });
      await removing.catch((error: unknown) => this.#warn("what a process that died left cannot be removed", record.name, error));
    }
    if (everyones) await this.#sweep();
  }

  /** Folders whose sandbox is not known any more: we died between forgetting it and removing them. */
  async #sweep(): Promise<void> {
    const { directory, repository } = this.#options;
    for (const uuid of await readdir(directory).catch(() => [])) {
      const dir = join(directory, uuid);
      // a copy that was kept has its list of what it was like beside it
      if (repository.byUuid(uuid) !== undefined || (await exists(join(dir, "workspace.json")))) continue;
      await removeTree(dir).catch((error: unknown) => this.#warn("the folder of a removed sandbox cannot be removed", uuid, error));
    }
  }

  #warn(message: string, sandbox: string, error: unknown): void {
    this.#options.log.warn(message, { sandbox, error: messageOf(error) });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
