import { realpathSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { background } from "../../base/background.ts";
import { BoundedTurns } from "../../base/bounded-turns.ts";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { RefreshTurn, TokenEndpoint } from "../../egress/gateway.ts";
import type { SandboxRecord, SecretFileRecord } from "../../sandbox/record.ts";
import type { SecretFileSettings } from "../../schema/settings.ts";
import { newTokens, readCredentials, refreshedCredentials, renewedAnswer } from "../../secrets/files/credentials.ts";
import { defineSecretFile, type FileRefresh, KNOWN_SECRET_FILES } from "../../secrets/files/definition.ts";
import { type Json, mapStrings } from "../../secrets/files/json-pointer.ts";
import { looksLikeToken, maskToken } from "../../secrets/files/mask.ts";
import { type FileSecret, OpenSecretFile } from "../../secrets/files/open-file.ts";
import { readSecretFile, secretFileVersion, writeSecretFile } from "../../secrets/files/store.ts";
import type { RandomSource } from "../../secrets/placeholder.ts";
import { checkSecretValue } from "../../secrets/value.ts";
import { takeLoginLease } from "./login-lease.ts";

export type SecretFilesOptions = {
  /** of whoever runs us */
  readonly home: string;
  readonly configured: () => readonly SecretFileSettings[];
  /** our own state and configuration */
  readonly forbidden: readonly string[];
  /** folder of the locks of those who renew one */
  readonly locks: string;
  /** where placeholders come from: the same for the same context */
  readonly randomFor: () => Promise<(context: string) => RandomSource>;
  readonly clock: Clock;
  readonly log: Log;
};

/** ms that a refresh waits for those before it; each of them has a deadline of its own */
const MAX_WAIT_MS = 60_000;
/** refreshes of one file by one sandbox, running and waiting: others have their turns as well */
const MAX_REFRESHES = 8;
/** how often storing new tokens is tried, and the pause between (ms) */
const STORE_ATTEMPTS = 50;
const STORE_PAUSE_MS = 100;

/** The secret files of one running sandbox. */
export interface SandboxFiles {
  /** text by path below the home directory */
  readonly shown: Readonly<Record<string, string>>;
  readonly secrets: readonly FileSecret[];
  readonly endpoints: readonly TokenEndpoint[];
}

type Held = { readonly file: OpenSecretFile; readonly changed: () => void };

/**
 * Files with logins: what of them a sandbox sees, and what becomes of them when an agent renews its tokens. What one sandbox renewed
 * holds for every other that has the same file, here at once and in other processes as soon as they look.
 */
export class SecretFiles {
  readonly #options: SecretFilesOptions;
  readonly #turns = new BoundedTurns(MAX_WAIT_MS);
  readonly #held = new Map<string, Set<Held>>();
  readonly #versions = new Map<string, string>();

  constructor(options: SecretFilesOptions) {
    this.#options = options;
  }

  /** Reads `NAME` or `NAME:PATH`. @throws VALIDATION, NOT_FOUND for a file that cannot be given */
  define(text: string): SecretFileRecord {
    const { configured, home, forbidden } = this.#options;
    const colon = text.indexOf(":");
    const name = colon === -1 ? text : text.slice(0, colon);
    const settings = configured().find((one) => one.name === name);
    const path = colon === -1 ? {} : { path: text.slice(colon + 1) };
    const definition = defineSecretFile(name, { name, ...settings, ...path }, home);
    if (definition === undefined)
      throw new AppError("VALIDATION", `there is no secret file ${name}, or it names no path, place inside or tokens`, {
        hint: `one of ${[...KNOWN_SECRET_FILES, ...configured().map((one) => one.name)].join(", ")}, or [[secret_files]] with all three`,
      });
    const stored = readSecretFile(definition);
    if (forbidden.some((own) => stored.path.startsWith(`${resolved(own)}/`)))
      throw new AppError("VALIDATION", `the secret file ${name} is one of agentkernel's own: ${stored.path}`);
    readCredentials(stored.text, definition);
    return definition;
  }

  /** @param changed called when a value of one of the files changed: the gateway must be told */
  async open(record: Pick<SandboxRecord, "uuid" | "secretFiles">, changed: () => void): Promise<SandboxFiles & Disposable> {
    const opened: Held[] = [];
    const shown: Record<string, string> = {};
    if (record.secretFiles === undefined || record.secretFiles.length === 0)
      return { shown, secrets: [], endpoints: [], [Symbol.dispose]: () => undefined };
    const randomFor = await this.#options.randomFor();
    for (const definition of record.secretFiles) {
      const stored = readSecretFile(definition);
      const credentials = readCredentials(stored.text, definition);
      const file = new OpenSecretFile(definition, (at) => randomFor(`${record.uuid}\0${definition.name}\0${at}`));
      file.take(credentials);
      shown[definition.inside] = file.shown(credentials);
      opened.push({ file, changed });
    }
    for (const held of opened) {
      const { path } = held.file.definition;
      this.#held.set(path, (this.#held.get(path) ?? new Set()).add(held));
    }
    return {
      shown,
      get secrets() {
        return opened.flatMap(({ file }) => file.secrets);
      },
      endpoints: opened.flatMap(({ file }) => this.#endpointOf(file)),
      [Symbol.dispose]: () => {
        for (const held of opened) this.#held.get(held.file.definition.path)?.delete(held);
      },
    };
  }

  /** Takes over what others wrote: an agent on this machine, another process of ours. */
  follow(): void {
    for (const path of this.#held.keys()) this.#look(path);
  }

  #look(path: string): void {
    const [first] = this.#held.get(path) ?? [];
    if (first === undefined) {
      this.#held.delete(path);
      this.#versions.delete(path);
      return;
    }
    const version = secretFileVersion(first.file.definition);
    if (version === undefined || version === this.#versions.get(path)) return;
    this.#versions.set(path, version);
    this.#spread(path);
  }

  #spread(path: string): void {
    for (const { file, changed } of this.#held.get(path) ?? []) {
      try {
        if (file.take(readCredentials(readSecretFile(file.definition).text, file.definition))) changed();
      } catch (error) {
        this.#options.log.warn("a secret file cannot be read any more; its values stay as they were", {
          name: file.definition.name,
          error: messageOf(error),
        });
      }
    }
  }

  #endpointOf(file: OpenSecretFile): readonly TokenEndpoint[] {
    const { refresh, name, path } = file.definition;
    if (refresh === undefined) return [];
    const url = new URL(refresh.url);
    let count = 0;
    const exclusive = async (work: (turn: RefreshTurn) => Promise<void>): Promise<"done" | "busy"> => {
      if (count === MAX_REFRESHES) return "busy";
      count += 1;
      const asked = renewedBy(file, refresh);
      let isBusy = false;
      try {
        const turn = await this.#turns.run(path, async () => {
          isBusy = !(await this.#alone(file, refresh, asked, work));
        });
        return isBusy ? "busy" : turn;
      } finally {
        count -= 1;
      }
    };
    return [
      {
        file: name,
        host: url.hostname,
        port: url.port === "" ? 443 : Number(url.port),
        path: url.pathname,
        exclusive,
      },
    ];
  }

  /**
   * With no other process at it. What the file holds now counts, not what it held when the client asked: a token that another renewed
   * is good for nothing any more, and its use may end the whole login. False when others had it all the time.
   */
  async #alone(file: OpenSecretFile, refresh: FileRefresh, asked: string, work: (turn: RefreshTurn) => Promise<void>): Promise<boolean> {
    const { path } = file.definition;
    const { locks, log } = this.#options;
    using lease = await takeLoginLease(locks, path, MAX_WAIT_MS);
    if (lease === undefined) return false;
    this.#spread(path);
    const sent = renewedBy(file, refresh);
    const renewed = sent === asked ? undefined : this.#renewed(file, refresh);
    let storing: Promise<void> | undefined;
    const accept = (answer: string): string => {
      const { shown, store } = this.#accept(file, refresh, answer, sent);
      if (store !== undefined) {
        storing = this.#storeLater(file, store);
        background("store renewed tokens", storing, log);
      }
      return shown;
    };
    await work({ accept, ...(renewed === undefined ? {} : { renewed }) });
    // others would read the old ones
    await storing;
    return true;
  }

  /** An agent on this machine that writes its file in place has it empty for a moment. */
  async #storeLater({ definition }: OpenSecretFile, store: () => unknown): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        store();
        return;
      } catch (error) {
        if (attempt < STORE_ATTEMPTS) {
          await setTimeout(STORE_PAUSE_MS, undefined, { ref: false });
          continue;
        }
        this.#options.log.error("renewed tokens could not be stored; the login may have to be made again", {
          name: definition.name,
          error: messageOf(error),
        });
        return;
      }
    }
  }

  #renewed(file: OpenSecretFile, refresh: FileRefresh): string | undefined {
    try {
      const credentials = readCredentials(readSecretFile(file.definition).text, file.definition);
      const answer = renewedAnswer(credentials, refresh, (at) => file.placeholderAt(at), this.#options.clock.now());
      return answer === undefined ? undefined : JSON.stringify(answer);
    } catch {
      // not readable at this moment: then the endpoint is asked
      return undefined;
    }
  }

  /** `store`: what is still to be done, since the file could not be written at once */
  #accept(file: OpenSecretFile, refresh: FileRefresh, text: string, sent: string): { shown: string; store?: () => unknown } {
    const { definition } = file;
    const { clock } = this.#options;
    const answer = JSON.parse(text) as Json;
    const tokens = newTokens(answer, refresh);
    for (const [at, value] of tokens) checkSecretValue(value, `${definition.name}${at}`);
    let store: (() => unknown) | undefined;
    if (tokens.size > 0) {
      const keep = (): boolean =>
        this.#keep(file, refresh, sent, (before) => refreshedCredentials(before, definition, tokens, answer, clock.now()));
      let isKept = true;
      try {
        isKept = keep();
      } catch {
        // tried again, and reported then; the old refresh token may be worth nothing any more, so what runs goes on with the new one
        store = keep;
      }
      if (isKept) {
        for (const held of this.#held.get(definition.path) ?? []) if (held.file.take({ tokens, unknown: new Map() })) held.changed();
      } else {
        this.#spread(definition.path);
        const theirs = this.#renewed(file, refresh);
        if (theirs !== undefined) return { shown: theirs };
      }
    }
    const placeholders = new Map([...tokens].map(([at, value]) => [value, file.placeholderAt(at)]));
    const taken = file.secrets.map(({ placeholder }) => placeholder);
    const shown = JSON.stringify(
      mapStrings(answer, (value) => {
        const known = placeholders.get(value) ?? (taken.includes(value) ? value : undefined);
        // what else looks like a token was not asked for, and is worth nothing inside
        return known ?? (looksLikeToken(value) ? maskToken(value, taken) : value);
      }),
    );
    return { shown, ...(store === undefined ? {} : { store }) };
  }

  /**
   * Stores what a refresh brought, unless somebody on this machine logged in, out or renewed meanwhile: his tokens are newer. True
   * when it did. @throws AppError, or what the file system says
   */
  #keep(file: OpenSecretFile, refresh: FileRefresh, sent: string, change: (before: string) => string): boolean {
    const { definition } = file;
    const before = readSecretFile(definition).text;
    const { tokens } = readCredentials(before, definition);
    if (marks(refresh, (at) => tokens.get(at)) !== sent) {
      this.#options.log.warn("a login changed on this machine while a sandbox renewed it; what the machine has is kept", {
        name: definition.name,
      });
      return false;
    }
    writeSecretFile(definition, change(before));
    return true;
  }
}

/** Where a path of ours lies without symbolic links; one that is not there holds nothing. */
function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return path;
    throw error;
  }
}

/** What a refresh changes, as one text to compare. */
function renewedBy(file: OpenSecretFile, refresh: FileRefresh): string {
  return marks(refresh, (at) => file.valueAt(at));
}

function marks({ tokens }: FileRefresh, valueAt: (pointer: string) => string | undefined): string {
  return JSON.stringify(Object.values(tokens).map((at) => valueAt(at) ?? null));
}
