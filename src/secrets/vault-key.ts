import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, errnoOf, isDiskFull } from "../base/error.ts";
import { newId } from "../base/id.ts";
import type { Secret } from "../base/secret.ts";

const KEY_BYTES = 32;

/** AES-256 key of the vault; only its id may be shown. */
export class VaultKey {
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    if (bytes.length !== KEY_BYTES) throw new AppError("STATE_UNUSABLE", "the vault key is not 32 bytes long");
    this.#bytes = Buffer.from(bytes);
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** four bytes that tell a wrong key from damaged data; one-way */
  get id(): Buffer {
    return createHash("sha256").update("agentkernel vault key id\0").update(this.#bytes).digest().subarray(0, 4);
  }

  toJSON(): string {
    return "[secret]";
  }
}

/** 32 bytes as 64 hex digits or in base64. @throws CONFIG_INVALID */
export function vaultKeyFromText(text: Secret, source: string): VaultKey {
  const value = text.reveal().trim();
  const bytes = /^[0-9a-fA-F]{64}$/.test(value) ? Buffer.from(value, "hex") : Buffer.from(value, "base64");
  if (bytes.length !== KEY_BYTES)
    throw new AppError("CONFIG_INVALID", `${source} is not a key of 32 bytes`, { hint: "make one with: openssl rand -hex 32" });
  return new VaultKey(bytes);
}

/**
 * The installation's vault key, from a file of mode 0600 that is made when there is none, whole or not at all, and never over one
 * that another process made meanwhile.
 *
 * @throws STATE_UNUSABLE in one line with the remedy
 */
export async function loadOrCreateVaultKey(file: string): Promise<VaultKey> {
  const found = await readKey(file);
  if (found !== undefined) return found;
  await create(file);
  const made = await readKey(file);
  if (made === undefined) throw new AppError("STATE_UNUSABLE", `the vault key ${file} vanished while it was made`);
  return made;
}

async function readKey(file: string): Promise<VaultKey | undefined> {
  try {
    // O_NONBLOCK: a FIFO in its place must not hold us
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) throw unusable(file, "is not a regular file", `move it away: mv ${file} ${file}.old`);
    if ((found.mode & 0o077) !== 0) throw unusable(file, "can be used by others", `chmod 600 ${file}`);
    const text = await handle.readFile({ encoding: "latin1" });
    if (!/^[0-9a-f]{64}\n?$/.test(text))
      throw unusable(file, "does not hold a key", "put the file back from a backup; without it what is in the vault cannot be read");
    return new VaultKey(Buffer.from(text.trim(), "hex"));
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (errnoOf(error) === "ENOENT") return undefined;
    throw unusable(file, `cannot be read (${errnoOf(error) ?? "failed"})`, "make it a regular file that you own, mode 0600", error);
  }
}

async function create(file: string): Promise<void> {
  const temporary = `${file}.${newId("gen")}`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await using handle = await open(temporary, "wx", 0o600);
    await handle.writeFile(`${randomBytes(KEY_BYTES).toString("hex")}\n`);
    await handle.sync();
    await link(temporary, file);
    await using folder = await open(dirname(file), "r");
    await folder.sync();
  } catch (error) {
    // another process was first: its key is the one
    if (isDiskFull(error))
      throw new AppError("DISK_FULL", `the vault key ${file} cannot be made (${errnoOf(error)})`, {
        hint: "free space on its file system",
      });
    if (errnoOf(error) !== "EEXIST")
      throw unusable(file, `cannot be made (${errnoOf(error) ?? "failed"})`, `make ${dirname(file)} writable`, error);
  } finally {
    await unlink(temporary).catch((error: unknown) => {
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR")
        throw unusable(temporary, "cannot be removed", `rm ${temporary}`, error);
    });
  }
}

function unusable(file: string, message: string, hint: string, cause?: unknown): AppError {
  return new AppError("STATE_UNUSABLE", `the vault key ${file} ${message}`, { hint, ...(cause === undefined ? {} : { cause }) });
}
