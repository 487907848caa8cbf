import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runProcess } from "../../src/base/process.ts";
import type { BackendSandbox, Mount } from "../../src/sandbox/backend.ts";
import { runIn } from "./run-in.ts";

// read while it can be: a test may become somebody who cannot reach a checkout below /root
const SOURCE = readFileSync(new URL("./attack.c", import.meta.url));
const INCLUDES = ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu"].flatMap((path) => [
  "-idirafter",
  path,
]);

/** Compiles the attack program into `dir`, and gives the mount that brings it into a sandbox. */
export async function attackMount(dir: string): Promise<Mount> {
  const argv = ["musl-gcc", "-static", "-O1", ...INCLUDES, "-x", "c", "-", "-o", join(dir, "attack")] as const;
  const result = await runProcess({ argv, input: SOURCE, env: { PATH: "/usr/bin:/bin" }, timeoutMs: 60_000 });
  if (result.code !== 0) throw new Error(`musl-gcc: ${result.stderr.toString()}`);
  return { source: dir, target: "/opt/attack", readOnly: true };
}

/** Runs attempts inside; the answer of each by its name. */
export async function attack(sandbox: BackendSandbox, ...names: readonly string[]): Promise<Record<string, string>> {
  const { stdout, stderr } = await runIn(sandbox, ["/opt/attack/attack", ...names]);
  const answers = Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]),
  );
  const missing = names.filter((name) => answers[name] === undefined);
  if (missing.length > 0) throw new Error(`no answer for ${missing.join(", ")}: ${stdout}${stderr}`);
  return answers;
}
