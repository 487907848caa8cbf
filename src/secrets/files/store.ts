import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { AppError, errnoOf } from "../../base/error.ts";
import type { SecretFileDefinition } from "../../schema/secret-file-definition.ts";

const MAX_BYTES = 256 * 1024;

/** The content of a secret file, where it lies without symbolic links, and what differs after every change. */
export type StoredFile = { readonly path: string; readonly text: string; readonly version: string };

/**
 * Reads a secret file of the host. Synchronous, as is writing: the answer of a refresh waits for both, and nothing else may happen
 * to the tokens in between.
 *
 * @throws NOT_FOUND when it cannot be read, VALIDATION when others may write it, or it is none
 */
export function readSecretFile({ name, path }: Pick<SecretFileDefinition, "name" | "path">): StoredFile {
  let fd: number | undefined;
  try {
    // O_NONBLOCK: a FIFO would wait for a writer for ever
    const real = realpathSync(path);
    fd = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const found = fstatSync(fd, { bigint: true });
    if (!found.isFile()) throw bad(name, path, "is not a regular file", "name the file with the logins");
    if ((found.mode & 0o022n) !== 0n) throw bad(name, path, "can be written by others", `chmod 600 ${path}`);
    if (found.size > BigInt(MAX_BYTES)) throw bad(name, path, "is larger than 256 KiB", "name the file with the logins");
    const bytes = Buffer.alloc(Number(found.size));
    let size = 0;
    for (let read = -1; read !== 0 && size < bytes.length; size += read) read = readSync(fd, bytes, size, bytes.length - size, size);
    return { path: real, text: bytes.toString("utf8", 0, size), version: `${found.ino} ${found.size} ${found.mtimeNs}` };
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("NOT_FOUND", `the secret file ${name} (${path}) cannot be read (${errnoOf(error) ?? "failed"})`, {
      hint: "log in with the agent on this machine first, or name another file: --secret-file NAME:PATH",
      cause: error,
    });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** As `readSecretFile` says it; undefined while it cannot be read. */
export function secretFileVersion(definition: Pick<SecretFileDefinition, "name" | "path">): string | undefined {
  try {
    return readSecretFile(definition).version;
  } catch {
    // whoever is about to replace it has it away for a moment; it is looked at again
    return undefined;
  }
}

/**
 * Replaces a secret file, whole or not at all, for nobody but its owner to read, and on disk when it returns. A symbolic link stays
 * one. Whoever calls holds the file's lease: there is one name for what is not finished, so that it is found after a crash.
 */
export function writeSecretFile({ path }: Pick<SecretFileDefinition, "path">, text: string): void {
  const real = realpathSync(path);
  const before = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK);
  const temporary = unfinishedOf(real);
  rmSync(temporary, { force: true });
  try {
    const { uid, gid } = fstatSync(before);
    const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      fchmodSync(fd, 0o600);
      // the file of somebody whose agents root runs stays his
      if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, real);
    const directory = openSync(dirname(real), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } finally {
    closeSync(before);
    rmSync(temporary, { force: true });
  }
}

/** Removes what a process that was killed had begun to write, which holds tokens. The lease as for writing. */
export function removeUnfinished({ path }: Pick<SecretFileDefinition, "path">): void {
  rmSync(unfinishedOf(realpathSync(path)), { force: true });
}

function unfinishedOf(real: string): string {
  return `${real}.agentkernel-new`;
}

function bad(name: string, path: string, what: string, hint: string): AppError {
  return new AppError("VALIDATION", `the secret file ${name} (${path}) ${what}`, { hint });
}
