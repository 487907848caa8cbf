import { setTimeout } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { SecretFileDefinition } from "../../schema/secret-file-definition.ts";
import { journalEntries, LoginJournal } from "../../secrets/files/journal.ts";
import { onTopOf, type Renewal, renewedText } from "../../secrets/files/renewal.ts";
import { readSecretFile, removeUnfinished, writeSecretFile } from "../../secrets/files/store.ts";
import type { VaultKey } from "../../secrets/vault-key.ts";
import { takeLoginLease, withoutLinks } from "./login-lease.ts";

export type RenewalsOptions = {
  /** of the journal; private */
  readonly folder: string;
  readonly key: () => Promise<VaultKey>;
  readonly clock: Clock;
  readonly log: Log;
};

/** `theirs`: somebody on this machine changed the file meanwhile, and it stays as it is. `later`: it cannot be written at this moment. */
export type Kept = "stored" | "theirs" | "later";

/** how often storing new tokens is tried while others wait for them, and the pause between (ms) */
const STORE_ATTEMPTS = 50;
const STORE_PAUSE_MS = 100;
/** ms between attempts to finish what others left */
const RECOVER_MS = 5_000;
/** ms for which a file is waited for that is not there, or is none any more */
const MAX_AGE_MS = 7 * 24 * 60 * 60_000;

/**
 * What refreshes of logins brought, on its way into their files. It is in a journal of this state directory before anybody sees the
 * answer and before the file is touched, and leaves it when the file holds it: a process that dies in between has lost nothing that
 * the next one cannot finish.
 */
export class Renewals {
  readonly #options: RenewalsOptions;
  /** those that are neither in their file nor in the journal, which could not be written; by path */
  readonly #pending = new Map<string, Renewal>();
  readonly #said = new Set<string>();
  #journal: LoginJournal | undefined;
  #recovering: Promise<void> | undefined;
  #nextRecovery = 0;

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  /** Before a file is read or renewed. @throws STATE_UNUSABLE for a vault key that cannot be used */
  async open(): Promise<LoginJournal> {
    this.#journal ??= new LoginJournal(this.#options.folder, await this.#options.key());
    return this.#journal;
  }

  /** A file's text as it is, or would be if everything that is known to be new could be written. @throws as `readSecretFile` */
  read(definition: SecretFileDefinition): string {
    const { text, path } = readSecretFile(definition);
    const pending = this.#of(path);
    return (pending === undefined ? undefined : renewedText(text, pending)) ?? text;
  }

  /** Takes over what a refresh brought; whoever calls holds the file's lease. */
  keep(fresh: Renewal): Kept {
    const path = withoutLinks(fresh.definition.path);
    const renewal = onTopOf(this.#of(path), fresh);
    try {
      if (this.#journal === undefined) throw new Error("it was not opened");
      this.#journal.put(path, renewal);
      this.#pending.delete(path);
    } catch (error) {
      this.#pending.set(path, renewal);
      this.#options.log.error("the journal of logins cannot be written; a login is lost if agentkernel is killed now", {
        name: renewal.definition.name,
        error: messageOf(error),
      });
    }
    try {
      return this.#finish(path, renewal);
    } catch {
      // tried again, and reported then
      return "later";
    }
  }

  /** Brings what a file is behind into it; whoever calls holds its lease. */
  finish(definition: SecretFileDefinition): void {
    const path = withoutLinks(definition.path);
    const pending = this.#of(path);
    if (pending === undefined) return;
    try {
      this.#finish(path, pending);
    } catch (error) {
      this.#say(pending, error);
    }
  }

  /** An agent on this machine that writes its file in place has it empty for a moment. Whoever calls holds the lease. */
  async finishSoon(definition: SecretFileDefinition): Promise<void> {
    const path = withoutLinks(definition.path);
    for (let attempt = 1; ; attempt += 1) {
      const pending = this.#of(path);
      if (pending === undefined) return;
      try {
        this.#finish(path, pending);
        return;
      } catch (error) {
        if (attempt < STORE_ATTEMPTS) {
          await setTimeout(STORE_PAUSE_MS, undefined, { ref: false });
          continue;
        }
        this.#say(pending, error);
        return;
      }
    }
  }

  /** Finishes what processes that died left behind, and what could not be written: at the start, and from time to time. */
  async recover(): Promise<void> {
    const now = this.#options.clock.monotonic();
    if (this.#recovering !== undefined) return this.#recovering;
    if (now < this.#nextRecovery) return;
    this.#nextRecovery = now + RECOVER_MS;
    const names = journalEntries(this.#options.folder);
    if (names.length === 0) return;
    const recovering = this.#recover(names).finally(() => (this.#recovering = undefined));
    this.#recovering = recovering;
    return recovering;
  }

  async #recover(names: readonly string[]): Promise<void> {
    const { clock, log } = this.#options;
    const journal = await this.open();
    journal.tidy(clock.now());
    for (const name of names) {
      try {
        const first = journal.read(name);
        if (first === undefined) continue;
        const { path } = first.definition;
        // who holds it finishes it
        using lease = await takeLoginLease(path, 0);
        const renewal = lease === undefined ? undefined : journal.read(name);
        if (renewal === undefined) continue;
        try {
          const kept = this.#finish(withoutLinks(path), renewal);
          log.info("a renewal of a login that was interrupted is finished", { name: renewal.definition.name, kept });
        } catch (error) {
          if (clock.now() - renewal.atMs > MAX_AGE_MS) journal.drop(withoutLinks(path));
          throw error;
        }
      } catch (error) {
        if (this.#said.has(name)) continue;
        this.#said.add(name);
        log.warn("a renewal of a login cannot be finished yet", { error: messageOf(error) });
      }
    }
  }

  #finish(path: string, renewal: Renewal): Exclude<Kept, "later"> {
    const { definition } = renewal;
    removeUnfinished(definition);
    const { text } = readSecretFile(definition);
    const after = renewedText(text, renewal);
    if (after !== undefined) writeSecretFile(definition, after);
    this.#pending.delete(path);
    try {
      this.#journal?.drop(path);
    } catch (error) {
      // the file no longer holds what was spent, so whoever finds the entry leaves the file alone
      this.#options.log.warn("an entry of the journal of logins cannot be removed", { error: messageOf(error) });
    }
    return after === undefined ? "theirs" : "stored";
  }

  #of(path: string): Renewal | undefined {
    const pending = this.#pending.get(path);
    if (pending !== undefined) return pending;
    try {
      return this.#journal?.get(path);
    } catch (error) {
      if (!this.#said.has(path)) this.#options.log.warn("a renewal of a login cannot be read", { error: messageOf(error) });
      this.#said.add(path);
      return undefined;
    }
  }

  #say({ definition }: Renewal, error: unknown): void {
    this.#options.log.error("renewed tokens cannot be written into their file yet; they are kept, and it is tried again", {
      name: definition.name,
      error: messageOf(error),
    });
  }
}
