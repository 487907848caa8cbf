import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/error.ts";
import { Secret } from "../base/secret.ts";
import { seal, type SealFault, unseal } from "./seal.ts";
import { checkSecretValue } from "./value.ts";
import type { VaultKey } from "./vault-key.ts";

/** Times in ms since 1970. */
export type SecretMeta = { readonly name: string; readonly createdAt: number; readonly updatedAt: number };

/** Where the encrypted values lie. */
export interface SecretRepository {
  list(): readonly SecretMeta[];
  get(name: string): (SecretMeta & { readonly ciphertext: Uint8Array }) | undefined;
  /** on disk when it returns */
  set(name: string, ciphertext: Uint8Array, nowMs: number): void;
  /** whether there was one */
  remove(name: string): boolean;
}

/** Secrets of this installation, encrypted at rest. */
export interface Vault {
  list(): readonly SecretMeta[];
  /** undefined: there is none. @throws STATE_UNUSABLE when it cannot be decrypted */
  get(name: string): Secret | undefined;
  /** @throws VALIDATION for a name or a value that no header could carry */
  set(name: string, value: Secret): void;
  remove(name: string): boolean;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,191}$/;

/** Each value is sealed for its name, so one that was moved under another does not open. */
export function createVault(repository: SecretRepository, key: VaultKey, clock: Clock): Vault {
  return {
    list: () => repository.list(),
    get: (name) => {
      const stored = repository.get(name);
      return stored === undefined ? undefined : decrypt(name, stored.ciphertext, key);
    },
    set: (name, value) => {
      checkSecretName(name);
      checkSecretValue(value.reveal(), name);
      repository.set(name, seal(value.reveal(), name, key), clock.now());
    },
    remove: (name) => repository.remove(name),
  };
}

/** @throws VALIDATION */
export function checkSecretName(name: string): void {
  if (!NAME.test(name)) {
    throw new AppError("VALIDATION", `${JSON.stringify(name.slice(0, 200))} is not a name for a secret`, {
      hint: "letters, digits, underscores, dots and hyphens, 192 at most, as OPENAI_API_KEY",
    });
  }
}

const FAULTS: Readonly<Record<SealFault, readonly [message: string, hint: (name: string) => string]>> = {
  "another version": ["was not written by this version", (name) => `agentkernel secret set ${name}`],
  "another key": ["was encrypted with another key", () => "set AGENTKERNEL_VAULT_KEY to that key, or put the key file back"],
  damaged: ["is damaged or was changed", (name) => `agentkernel secret set ${name}`],
};

function decrypt(name: string, stored: Uint8Array, key: VaultKey): Secret {
  const opened = unseal(stored, name, key);
  if ("text" in opened) return new Secret(opened.text);
  const [message, hint] = FAULTS[opened.fault];
  throw new AppError("STATE_UNUSABLE", `the secret ${name} in the vault ${message}`, { hint: hint(name) });
}
