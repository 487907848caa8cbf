import { realpathSync } from "node:fs";
import { background } from "../../base/background.ts";
import { BoundedTurns } from "../../base/bounded-turns.ts";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { RefreshGrant, RefreshTurn, TokenEndpoint, TurnEnd } from "../../egress/gateway.ts";
import type { SandboxRecord } from "../../sandbox/record.ts";
import type { FileRefresh, SecretFileDefinition } from "../../schema/secret-file-definition.ts";
import type { SecretFileSettings } from "../../schema/settings.ts";
import { type Credentials, grantOf, newTokens, readCredentials, renewedAnswer } from "../../secrets/files/credentials.ts";
import { defineSecretFile, KNOWN_SECRET_FILES } from "../../secrets/files/definition.ts";
import { isObject, type Json, mapStrings } from "../../secrets/files/json-pointer.ts";
import { looksLikeToken, maskToken } from "../../secrets/files/mask.ts";
import { type FileSecret, OpenSecretFile } from "../../secrets/files/open-file.ts";
import { isSame, renewable, type TokensAt } from "../../secrets/files/renewal.ts";
import { readSecretFile, secretFileVersion } from "../../secrets/files/store.ts";
import type { RandomSource } from "../../secrets/placeholder.ts";
import { checkSecretValue } from "../../secrets/value.ts";
import { takeLoginLease } from "./login-lease.ts";
import type { Renewals } from "./renewals.ts";

export type SecretFilesOptions = {
  /** of whoever runs us */
  readonly home: string;
  readonly configured: () => readonly SecretFileSettings[];
  /** our own state and configuration */
  readonly forbidden: readonly string[];
  readonly renewals: Renewals;
  /** where placeholders come from: the same for the same context */
  readonly randomFor: () => Promise<(context: string) => RandomSource>;
  readonly clock: Clock;
  readonly log: Log;
};

/** ms that a refresh waits for those before it; each of them has a deadline of its own */
const MAX_WAIT_MS = 60_000;
/** refreshes of one file by one sandbox, running and waiting: others have their turns as well */
const MAX_REFRESHES = 8;

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
  define(text: string): SecretFileDefinition {
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
    await this.#options.renewals.open();
    for (const definition of record.secretFiles) {
      const credentials = this.#read(definition);
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

  /** Takes over what others wrote: an agent on this machine, another process of ours; and finishes what one of them left behind. */
  follow(): void {
    background("finish renewals of logins", this.#options.renewals.recover(), this.#options.log);
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
        if (file.take(this.#read(file.definition))) changed();
      } catch (error) {
        this.#options.log.warn("a secret file cannot be read any more; its values stay as they were", {
          name: file.definition.name,
          error: messageOf(error),
        });
      }
    }
  }

  #read(definition: SecretFileDefinition): Credentials {
    return readCredentials(this.#options.renewals.read(definition), definition);
  }

  #endpointOf(file: OpenSecretFile): readonly TokenEndpoint[] {
    const { refresh, name, path } = file.definition;
    if (refresh === undefined) return [];
    const url = new URL(refresh.url);
    let count = 0;
    const exclusive = async (work: (turn: RefreshTurn) => Promise<void>): Promise<TurnEnd> => {
      if (count === MAX_REFRESHES) return "busy";
      count += 1;
      const asked = renewableOf(file, refresh);
      let end: TurnEnd = "busy";
      try {
        const turn = await this.#turns.run(path, async () => {
          end = await this.#alone(file, refresh, asked, work);
        });
        return turn === "busy" ? turn : end;
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
   * is good for nothing any more, and its use may end the whole login. `busy` when others had it all the time.
   */
  async #alone(file: OpenSecretFile, refresh: FileRefresh, asked: TokensAt, work: (turn: RefreshTurn) => Promise<void>): Promise<TurnEnd> {
    const { path, name } = file.definition;
    const { log, renewals } = this.#options;
    let lease: Disposable | undefined;
    try {
      lease = await takeLoginLease(path, MAX_WAIT_MS);
    } catch (error) {
      log.error("a login cannot be renewed", { name, error: messageOf(error) });
      const reason = `the login ${name} cannot be renewed: the folder of its file cannot be written, so what came of it would be lost`;
      return { refused: reason, hint: "let the folder be writable for the user that runs agentkernel" };
    }
    if (lease === undefined) return "busy";
    using _held = lease;
    renewals.finish(file.definition);
    this.#spread(path);
    const sent = renewableOf(file, refresh);
    const renewed = isSame(sent, asked) ? undefined : this.#renewed(file, refresh);
    let storing: Promise<void> | undefined;
    const accept = (answer: string): string => {
      const { shown, isLate } = this.#accept(file, refresh, answer, sent);
      if (isLate) {
        storing = renewals.finishSoon(file.definition);
        background("store renewed tokens", storing, log);
      }
      return shown;
    };
    await work({ grant: this.#grant(file, refresh), accept, ...(renewed === undefined ? {} : { renewed }) });
    // others would read the old ones
    await storing;
    return "done";
  }

  #grant({ definition }: OpenSecretFile, refresh: FileRefresh): RefreshGrant {
    try {
      return grantOf(this.#read(definition), refresh);
    } catch {
      // not readable at this moment: then what is known of such logins counts, and no scope is asked for
      return { clientIds: refresh.clientIds ?? [], parameters: refresh.parameters ?? [] };
    }
  }

  #renewed(file: OpenSecretFile, refresh: FileRefresh): string | undefined {
    try {
      const answer = renewedAnswer(this.#read(file.definition), refresh, (at) => file.placeholderAt(at), this.#options.clock.now());
      return answer === undefined ? undefined : JSON.stringify(answer);
    } catch {
      // not readable at this moment: then the endpoint is asked
      return undefined;
    }
  }

  /** `isLate`: the file could not be written at once. What was answered holds, and is in the journal before anybody sees it. */
  #accept(file: OpenSecretFile, refresh: FileRefresh, text: string, sent: TokensAt): { readonly shown: string; readonly isLate: boolean } {
    const { definition } = file;
    const { clock, log, renewals } = this.#options;
    const answer = JSON.parse(text) as Json;
    const tokens = newTokens(answer, refresh);
    for (const [at, value] of tokens) checkSecretValue(value, `${definition.name}${at}`);
    let isLate = false;
    if (tokens.size > 0) {
      const seconds = isObject(answer) ? answer["expires_in"] : undefined;
      const expiresIn = typeof seconds === "number" ? { expiresIn: seconds } : {};
      const kept = renewals.keep({ definition, spent: [sent], tokens: Object.fromEntries(tokens), ...expiresIn, atMs: clock.now() });
      isLate = kept === "later";
      if (kept === "theirs") {
        log.warn("a login changed on this machine while a sandbox renewed it; what the machine has is kept", { name: definition.name });
        this.#spread(definition.path);
        const theirs = this.#renewed(file, refresh);
        if (theirs !== undefined) return { shown: theirs, isLate };
      } else {
        for (const held of this.#held.get(definition.path) ?? []) if (held.file.take({ tokens, unknown: new Map() })) held.changed();
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
    return { shown, isLate };
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

function renewableOf(file: OpenSecretFile, refresh: FileRefresh): TokensAt {
  return renewable(refresh, (at) => file.valueAt(at));
}
