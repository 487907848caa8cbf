import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { VaultKey } from "./vault-key.ts";

const VERSION = 1;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;

/** Why sealed bytes cannot be opened. */
export type SealFault = "another version" | "another key" | "damaged";

/**
 * AES-256-GCM with a random 96-bit nonce: version, key id, nonce, tag, ciphertext. Version, key id and what the bytes belong to are
 * authenticated with it, so what was moved elsewhere does not open.
 *
 * @param belongsTo what the text is and whose, never the same for two kinds
 */
export function seal(text: string, belongsTo: string, key: VaultKey): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key.bytes, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(authenticated(belongsTo, key.id));
  const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), key.id, nonce, cipher.getAuthTag(), body]);
}

/** The text, or why there is none. */
export function unseal(sealed: Uint8Array, belongsTo: string, key: VaultKey): { readonly text: string } | { readonly fault: SealFault } {
  const bytes = Buffer.from(sealed);
  if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION) return { fault: "another version" };
  const keyId = bytes.subarray(1, 1 + KEY_ID_BYTES);
  if (!keyId.equals(key.id)) return { fault: "another key" };
  const nonce = bytes.subarray(1 + KEY_ID_BYTES, 1 + KEY_ID_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", key.bytes, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(authenticated(belongsTo, keyId));
  decipher.setAuthTag(bytes.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES));
  try {
    return { text: Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]).toString("utf8") };
  } catch {
    // what exactly did not fit says nothing to anybody but a forger
    return { fault: "damaged" };
  }
}

function authenticated(belongsTo: string, keyId: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("agentkernel vault\0"), Buffer.of(VERSION), keyId, Buffer.from(belongsTo, "utf8")]);
}
