import { finished } from "node:stream/promises";
import { ignore } from "../base/background.ts";
import { AppError } from "../base/error.ts";
import type { BackendSandbox } from "./backend.ts";
import { INSIDE } from "./inside.ts";

/** ms for one file; nothing else runs in the sandbox yet */
const DEADLINE_MS = 10_000;

/** Whole or not at all, for the owner alone; a directory of that name is not taken for the place to put it into. */
const SCRIPT = 'umask 077; mkdir -p "$(dirname "$1")" && cat > "$1.$$" && mv -fT "$1.$$" "$1"';

/**
 * Writes files below the home directory, by a command inside: what the sandbox left there (a link that leads elsewhere) leads nowhere
 * outside of it.
 *
 * @throws SANDBOX_START_FAILED for a file that could not be written
 */
export async function writeHomeFiles(
  sandbox: Pick<BackendSandbox, "exec">,
  files: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>>,
  cancel: AbortSignal,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const signal = AbortSignal.any([cancel, AbortSignal.timeout(DEADLINE_MS)]);
    const exec = await sandbox.exec({ argv: ["/bin/sh", "-c", SCRIPT, "sh", `${INSIDE.home}/${path}`], env, cwd: INSIDE.home }, { signal });
    exec.stdout.resume();
    const said: Buffer[] = [];
    exec.stderr.on("data", (chunk: Buffer) => said.length < 16 && said.push(chunk));
    ignore(finished(exec.stdin), "a command that ended early says so by its code");
    exec.stdin.end(content);
    const { code } = await exec.exited;
    if (code !== 0)
      throw new AppError("SANDBOX_START_FAILED", `${path} could not be written into the home directory of the sandbox`, {
        cause: new Error(Buffer.concat(said).toString("utf8").slice(0, 500)),
      });
  }
}
