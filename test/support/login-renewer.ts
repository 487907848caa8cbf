import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename, dirname } from "node:path";
import type { Upstream } from "../../src/egress/gateway.ts";
import { fetchInside } from "./gateway/client.ts";
import { JSON_TYPE, loginGateway, refreshOf, renewalsIn, TOKEN_URL } from "./login-gateway.ts";

/**
 * Renews a login, or finishes what another left, and is killed with SIGKILL before the step `killAt` of what it does with the login's
 * folder and the journal's; a step is one call to the file system, and half of a write is one too. It says each step before it
 * takes it.
 */
const { journal, path, upstream, killAt } = JSON.parse(process.argv[2] ?? "") as {
  readonly journal: string;
  readonly path: string;
  /** absent: it finishes what is in the journal */
  readonly upstream?: { readonly host: string; readonly url: string; readonly ca: string };
  readonly killAt?: number;
};

const say = (...words: readonly unknown[]): void => void fs.writeSync(1, `${words.join(" ")}\n`);
const writeFileSync = fs.writeFileSync;
const opened = new Map<number, string>();
let steps: number | undefined;

function step(what: string, half?: () => void): void {
  if (steps === undefined) return;
  for (const name of half === undefined ? [what] : [what, `half of ${what}`]) {
    steps += 1;
    say("step", name);
    if (steps !== killAt) continue;
    if (name !== what) half?.();
    process.kill(process.pid, "SIGKILL");
  }
}

const CALLS = [
  "openSync",
  "writeFileSync",
  "fsyncSync",
  "closeSync",
  "fchmodSync",
  "fchownSync",
  "renameSync",
  "rmSync",
  "mkdirSync",
] as const;
for (const call of CALLS) {
  const real = fs[call] as (...given: readonly unknown[]) => unknown;
  (fs as unknown as Record<string, unknown>)[call] = (...given: readonly unknown[]): unknown => {
    const [first, content] = given;
    const file = typeof first === "number" ? opened.get(first) : String(first);
    const isOurs = file !== undefined && [dirname(path), journal].includes(dirname(file));
    if (isOurs || file === journal || file === dirname(path))
      step(
        `${call} ${basename(file)}`,
        call === "writeFileSync"
          ? () => writeFileSync(first as number, Buffer.from(content as string).subarray(0, Buffer.byteLength(content as string) / 2))
          : undefined,
      );
    const result = real(...given);
    if (call === "openSync") opened.set(result as number, String(first));
    if (call === "closeSync") opened.delete(first as number);
    return result;
  };
}
syncBuiltinESMExports();

if (upstream === undefined) {
  const renewals = renewalsIn(journal);
  steps = 0;
  await renewals.recover();
} else {
  const { host, url, ca } = upstream;
  await using at = await loginGateway({ journal, path, upstream: { host, url: new URL(url), ca } satisfies Upstream });
  steps = 0;
  const { status } = await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
  say("answered", status);
}
