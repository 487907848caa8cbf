import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { constants } from "node:fs";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, errnoOf, isDiskFull } from "../base/error.ts";
import { newId } from "../base/id.ts";
import { keyIdOf, type Signer, type TrustedKeys } from "./checkpoint.ts";

/** The installation's checkpoint key, an Ed25519 private key in PEM, made when there is none. @throws STATE_UNUSABLE, DISK_FULL */
export async function loadOrCreateKey(file: string): Promise<Signer> {
  const found = await loadKey(file);
  if (found !== undefined) return found;
  await create(file);
  const made = await loadKey(file);
  if (made === undefined) throw new AppError("STATE_UNUSABLE", `the audit key ${file} vanished while it was made`);
  return made;
}

/** The keys whose signatures count: public keys in PEM, or the private one's public half. */
export function trustedKeys(keys: readonly KeyObject[]): TrustedKeys {
  return new Map(keys.map((key) => [keyIdOf(key), key.type === "private" ? createPublicKey(key) : key]));
}

/** The installation's checkpoint key; undefined when there is none. @throws STATE_UNUSABLE */
export async function loadKey(file: string): Promise<Signer | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw new AppError("STATE_UNUSABLE", `cannot open the audit key ${file}`, {
      cause: error,
      hint: "make it a regular file that you own, mode 0600",
    });
  }
  try {
    const { mode } = await handle.stat();
    if ((mode & 0o077) !== 0)
      throw new AppError("STATE_UNUSABLE", `the audit key ${file} can be used by others`, { hint: `chmod 600 ${file}` });
    const privateKey = createPrivateKey(await handle.readFile());
    if (privateKey.asymmetricKeyType !== "ed25519")
      throw new Error(`it is ${privateKey.asymmetricKeyType ?? "no asymmetric key"}, not ed25519`);
    return { privateKey, keyId: keyIdOf(privateKey) };
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("STATE_UNUSABLE", `the audit key ${file} cannot be read as a private key`, {
      cause: error,
      hint: `move it away to have a new one made; keep it to verify old entries`,
    });
  } finally {
    await handle.close();
  }
}

/** Whole or not at all, and never over one that another process made meanwhile. */
async function create(file: string): Promise<void> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const temporary = `${file}.${newId("gen")}`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(privateKey.export({ type: "pkcs8", format: "pem" }));
      await handle.sync();
    } finally {
      await handle.close();
    }
    try {
      await link(temporary, file);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    } finally {
      await unlink(temporary);
    }
  } catch (error) {
    throw new AppError(isDiskFull(error) ? "DISK_FULL" : "STATE_UNUSABLE", `cannot write the audit key ${file}`, {
      cause: error,
      hint: isDiskFull(error) ? "free space on its file system" : `make ${dirname(file)} writable`,
    });
  }
}
