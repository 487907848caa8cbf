import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/error.ts";
import { Secret } from "../base/secret.ts";
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

const VERSION = 1;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,191}$/;

/**
 * AES-256-GCM, one random 96-bit nonce for each value. Stored: version, key id, nonce, tag, ciphertext. Version, key id and name are
 * authenticated with it, so a value that was moved under another name does not decrypt.
 */
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
      repository.set(name, encrypt(name, value, key), clock.now());
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

function encrypt(name: string, value: Secret, key: VaultKey): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key.bytes, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(boundTo(name, key.id));
  const body = Buffer.concat([cipher.update(value.reveal(), "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), key.id, nonce, cipher.getAuthTag(), body]);
}

function decrypt(name: string, stored: Uint8Array, key: VaultKey): Secret {
  const bytes = Buffer.from(stored);
  if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION)
    throw unusable(name, "was not written by this version", `agentkernel secret set ${name}`);
  const keyId = bytes.subarray(1, 1 + KEY_ID_BYTES);
  if (!keyId.equals(key.id))
    throw unusable(name, "was encrypted with another key", "set AGENTKERNEL_VAULT_KEY to that key, or put the key file back");
  const nonce = bytes.subarray(1 + KEY_ID_BYTES, 1 + KEY_ID_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", key.bytes, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(boundTo(name, keyId));
  decipher.setAuthTag(bytes.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES));
  try {
    return new Secret(Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]).toString("utf8"));
  } catch (error) {
    throw unusable(name, "is damaged or was changed", `agentkernel secret set ${name}`, error);
  }
}

function boundTo(name: string, keyId: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("agentkernel vault\0"), Buffer.of(VERSION), keyId, Buffer.from(name, "utf8")]);
}

function unusable(name: string, message: string, hint: string, cause?: unknown): AppError {
  return new AppError("STATE_UNUSABLE", `the secret ${name} in the vault ${message}`, { hint, ...(cause === undefined ? {} : { cause }) });
}
