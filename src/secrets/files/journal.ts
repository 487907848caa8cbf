import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AppError, errnoOf } from "../../base/error.ts";
import { seal, type SealFault, unseal } from "../seal.ts";
import type { VaultKey } from "../vault-key.ts";
import type { Renewal } from "./renewal.ts";

/** of what is written; another version's is left alone */
const FORMAT = 1;
const ENTRY = /^[0-9a-f]{32}\.renewal$/;
/** ms after which what a killed process had begun to write is nobody's any more */
const UNFINISHED_MS = 10 * 60_000;

/** Entries that there are, without opening one. */
export function journalEntries(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => ENTRY.test(name));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/**
 * What refreshes brought and no file holds yet, one entry for each file with logins, sealed with the vault's key. Synchronous: the
 * answer waits for it. Whoever calls holds the file's lease.
 */
export class LoginJournal {
  readonly #folder: string;
  readonly #key: VaultKey;

  constructor(folder: string, key: VaultKey) {
    this.#folder = folder;
    this.#key = key;
  }

  /** On disk when it returns, whole or not at all. @param path of the file, without symbolic links */
  put(path: string, renewal: Renewal): void {
    const name = nameOf(path);
    const file = join(this.#folder, name);
    const sealed = seal(JSON.stringify({ format: FORMAT, renewal }), belongsTo(name), this.#key);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const unfinished = `${file}.new`;
    rmSync(unfinished, { force: true });
    const fd = openSync(unfinished, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      writeFileSync(fd, sealed);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, file);
    const folder = openSync(this.#folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }

  /** Undefined when there is none. @throws STATE_UNUSABLE for one that cannot be opened */
  get(path: string): Renewal | undefined {
    return this.read(nameOf(path));
  }

  /** @throws STATE_UNUSABLE */
  read(name: string): Renewal | undefined {
    let sealed: Buffer;
    try {
      sealed = readFileSync(join(this.#folder, name));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw this.#unusable(name, `cannot be read (${errnoOf(error) ?? "failed"})`);
    }
    const opened = unseal(sealed, belongsTo(name), this.#key);
    if ("fault" in opened) throw this.#unusable(name, FAULTS[opened.fault]);
    const { format, renewal } = JSON.parse(opened.text) as { readonly format: number; readonly renewal: Renewal };
    if (format !== FORMAT) throw this.#unusable(name, FAULTS["another version"]);
    return renewal;
  }

  drop(path: string): void {
    rmSync(join(this.#folder, nameOf(path)), { force: true });
  }

  /** Removes what processes that were killed had begun to write. */
  tidy(nowMs: number): void {
    for (const name of readdirSync(this.#folder)) {
      if (!name.endsWith(".renewal.new")) continue;
      const file = join(this.#folder, name);
      const found = lstatSync(file, { throwIfNoEntry: false });
      if (found !== undefined && found.mtimeMs < nowMs - UNFINISHED_MS) rmSync(file, { force: true });
    }
  }

  #unusable(name: string, what: string): AppError {
    return new AppError("STATE_UNUSABLE", `the renewed login in ${join(this.#folder, name)} ${what}`, {
      hint: "bring the vault's key back, or remove this file and log in again",
    });
  }
}

const FAULTS: Readonly<Record<SealFault, string>> = {
  "another version": "was not written by this version",
  "another key": "was encrypted with another key",
  damaged: "is damaged or was changed",
};

function nameOf(path: string): string {
  return `${createHash("sha256").update(path).digest("hex").slice(0, 32)}.renewal`;
}

/** No name of a secret has a NUL. */
function belongsTo(name: string): string {
  return `renewed login\0${name}`;
}
