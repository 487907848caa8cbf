import { AppError, messageOf } from "../base/error.ts";

/** https://www.sqlite.org/rescode.html, primary codes */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const PERM = 3;
const NOTADB = 26;
/** extended: the file of the WAL's index could not be made longer. What SQLite writes itself it calls FULL, this it does not */
const IOERR_SHMSIZE = IOERR | (19 << 8);

/** An error of SQLite as one of ours, with what to do about it; anything else unchanged. */
export function translateSqlite(error: unknown, file: string): unknown {
  const code = primaryCode(error);
  if (code === undefined) return error;
  const say = (kind: ConstructorParameters<typeof AppError>[0], text: string, hint: string): AppError =>
    new AppError(kind, `${text}: ${messageOf(error)}`, { cause: error, hint });
  switch (code) {
    case BUSY:
    case LOCKED:
      return say(
        "STATE_LOCKED",
        `another process keeps the state ${file} locked`,
        "try again; a process that hangs with it can be found with: fuser -v " + file,
      );
    case FULL:
      return say("DISK_FULL", `the state ${file} cannot be written`, "free space on its file system");
    case CORRUPT:
    case NOTADB:
      return say("STATE_UNUSABLE", `the state ${file} is damaged`, `restore it from a backup, or begin anew: mv ${file} ${file}.damaged`);
    case READONLY:
    case PERM:
    case CANTOPEN:
      return say(
        "STATE_UNUSABLE",
        `the state ${file} cannot be opened for writing`,
        "make the file and its directory writable for this user, or set AGENTKERNEL_HOME to another directory",
      );
    case IOERR:
      if (extendedCode(error) === IOERR_SHMSIZE)
        return say("DISK_FULL", `the state ${file} cannot be written`, "free space on its file system");
      return say("STATE_UNUSABLE", `the file system failed under the state ${file}`, "check the disk: dmesg");
    default:
      return say("INTERNAL", `the state ${file} refused a statement`, "report this");
  }
}

/** SQLite's primary result code of an error that `node:sqlite` threw. */
export function primaryCode(error: unknown): number | undefined {
  const code = extendedCode(error);
  return code === undefined ? undefined : code & 0xff;
}

function extendedCode(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode;
}

/** SQLite itself was refused room. */
export function isFullDatabase(error: unknown): boolean {
  return primaryCode(error) === FULL;
}

/** A file could not be opened or made. */
export function isUnopened(error: unknown): boolean {
  return primaryCode(error) === CANTOPEN;
}

/** Something else stands where a database was expected. */
export function isNoDatabase(error: unknown): boolean {
  return primaryCode(error) === NOTADB;
}

/** A unique index refused the row. */
export function isConstraint(error: unknown): boolean {
  return primaryCode(error) === 19;
}
