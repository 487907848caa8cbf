import { stat } from "node:fs/promises";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import { runProcess } from "../../base/process.ts";

export type Bwrap = { readonly path: string; readonly version: readonly [number, number, number] };

/** first with --disable-userns and --bind-fd */
const OLDEST = [0, 8, 0] as const;
const CANDIDATES = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];
const INSTALL = "apt-get install bubblewrap (dnf, apk, pacman: the same name)";

/** @throws AppError BACKEND_UNAVAILABLE with the command that helps */
export async function findBwrap(wanted?: string): Promise<Bwrap> {
  for (const path of wanted === undefined ? CANDIDATES : [wanted]) {
    let mode: number;
    try {
      mode = (await stat(path)).mode;
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") continue;
      throw error;
    }
    if ((mode & 0o4000) !== 0)
      throw new AppError("BACKEND_UNAVAILABLE", `${path} is setuid root, which only adds attack surface (CVE-2026-41163)`, {
        hint: `chmod u-s ${path}`,
      });
    const version = await versionOf(path);
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

async function versionOf(path: string): Promise<Bwrap["version"]> {
  const result = await runProcess({ argv: [path, "--version"], env: {}, timeoutMs: 5000 }).catch((error: unknown) => {
    throw new AppError("BACKEND_UNAVAILABLE", `${path} cannot be executed: ${messageOf(error)}`, { cause: error, hint: INSTALL });
  });
  const version = parseBwrapVersion(result.stdout.toString());
  if (version === undefined)
    throw new AppError("BACKEND_UNAVAILABLE", `${path} --version says nothing that can be understood`, { hint: INSTALL });
  return version;
}
