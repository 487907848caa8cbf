import { open } from "node:fs/promises";
import { AppError, errnoOf } from "../base/error.ts";

/** A configuration of more than this is none. */
const MAX_BYTES = 1024 * 1024;

export type FoundFile = { readonly file: string; readonly text: string };

/**
 * Reads the file that was named, or the first candidate that exists. One that exists and cannot be read is an error: the next one
 * would be another policy.
 *
 * @throws CONFIG_INVALID in one line
 */
export async function findConfig(named: string | undefined, candidates: readonly string[], uid: number): Promise<FoundFile | undefined> {
  if (named !== undefined) {
    const text = await read(named, undefined);
    if (text === undefined)
      throw new AppError("CONFIG_INVALID", `${named}: there is no such file`, { hint: "check the path given to --config" });
    return { file: named, text };
  }
  for (const file of candidates) {
    const text = await read(file, uid);
    if (text !== undefined) return { file, text };
  }
  return undefined;
}

/** `reader`: whose file it must be, his own or root's. HOME may be another user's where a command runs as root (`sudo -E`). */
async function read(file: string, reader: number | undefined): Promise<string | undefined> {
  try {
    await using handle = await open(file, "r");
    const {
      size,
      mode,
      uid: owner,
    } = await handle.stat().then((found) => {
      if (!found.isFile()) throw new AppError("CONFIG_INVALID", `${file}: is not a regular file`, { hint: "name a TOML file" });
      return found;
    });
    if ((mode & 0o002) !== 0) throw new AppError("CONFIG_INVALID", `${file}: everybody may write it`, { hint: `chmod o-w ${file}` });
    if (reader !== undefined && owner !== 0 && owner !== reader)
      throw new AppError("CONFIG_INVALID", `${file}: belongs to uid ${owner}, who could change it`, {
        hint: `chown ${reader} ${file}, or name it with --config`,
      });
    if (size > MAX_BYTES)
      throw new AppError("CONFIG_INVALID", `${file}: is larger than 1 MiB`, { hint: "name a TOML file of agentkernel" });
    return new TextDecoder("utf-8", { fatal: true }).decode(await handle.readFile());
  } catch (error) {
    if (error instanceof AppError) throw error;
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA")
      throw new AppError("CONFIG_INVALID", `${file}: is not UTF-8 text`, { cause: error, hint: "save it as UTF-8" });
    throw new AppError("CONFIG_INVALID", `${file}: cannot be read (${code ?? "failed"})`, {
      cause: error,
      hint: "make it readable for this user, or name another with --config",
    });
  }
}
