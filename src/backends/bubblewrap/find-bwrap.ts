import type { BigIntStats } from "node:fs";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ignore } from "../../base/background.ts";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import { runProcess } from "../../base/process.ts";
import { draftIn } from "./stage-directory.ts";

export type Bwrap = { readonly path: string; readonly version: readonly [number, number, number] };

/** first with --disable-userns and --bind-fd */
const OLDEST = [0, 8, 0] as const;
const CANDIDATES = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];
const INSTALL = "apt-get install bubblewrap (dnf, apk, pacman: the same name)";

/**
 * @param memory file of ours that says what the program said when it was asked last: as long as it is the same file, starting it
 * for its version would be a third of what a short command costs
 * @throws AppError BACKEND_UNAVAILABLE with the command that helps
 */
export async function findBwrap(wanted?: string, memory?: string): Promise<Bwrap> {
  for (const path of wanted === undefined ? CANDIDATES : [wanted]) {
    let info: BigIntStats;
    try {
      info = await stat(path, { bigint: true });
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") continue;
      throw error;
    }
    if ((info.mode & 0o4000n) !== 0n)
      throw new AppError("BACKEND_UNAVAILABLE", `${path} is setuid root, which only adds attack surface (CVE-2026-41163)`, {
        hint: `chmod u-s ${path}`,
      });
    const version = await knownVersion(path, info, memory);
    if (isOlder(version, OLDEST))
      throw new AppError("BACKEND_UNAVAILABLE", `${path} is version ${version.join(".")}; ${OLDEST.join(".")} or later is needed`, {
        hint: INSTALL,
      });
    return { path, version };
  }
  throw new AppError(
    "BACKEND_UNAVAILABLE",
    `bubblewrap is not installed (looked at ${(wanted === undefined ? CANDIDATES : [wanted]).join(", ")})`,
    { hint: INSTALL },
  );
}

export function isOlder(version: readonly number[], than: readonly number[]): boolean {
  for (const [index, part] of than.entries()) {
    const own = version[index] ?? 0;
    if (own !== part) return own < part;
  }
  return false;
}

export function parseBwrapVersion(text: string): Bwrap["version"] | undefined {
  const match = /^bubblewrap (\d+)\.(\d+)(?:\.(\d+))?/.exec(text.trim());
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

async function knownVersion(path: string, info: BigIntStats, memory: string | undefined): Promise<Bwrap["version"]> {
  if (memory === undefined) return versionOf(path);
  const key = [path, info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs].join(" ");
  // absent, or half-written by a machine that went down: asked again
  const [known, said = ""] = (await readFile(memory, "utf8").catch(() => "")).split("\n");
  const remembered = known === key ? parseBwrapVersion(said) : undefined;
  if (remembered !== undefined) return remembered;
  const version = await versionOf(path);
  const temporary = draftIn(dirname(memory));
  const writing = writeFile(temporary, `${key}\nbubblewrap ${version.join(".")}\n`, { mode: 0o600 }).then(() => rename(temporary, memory));
  ignore(writing, "the next start asks again");
  return version;
}

async function versionOf(path: string): Promise<Bwrap["version"]> {
  const result = await runProcess({ argv: [path, "--version"], env: {}, timeoutMs: 5000 }).catch((error: unknown) => {
    throw new AppError("BACKEND_UNAVAILABLE", `${path} cannot be executed: ${messageOf(error)}`, { cause: error, hint: INSTALL });
  });
  const version = parseBwrapVersion(result.stdout.toString());
  if (version === undefined)
    throw new AppError("BACKEND_UNAVAILABLE", `${path} --version says nothing that can be understood`, { hint: INSTALL });
  return version;
}
