import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { workspaceCopy } from "../support/workspace-copy.ts";

test("a directory that is swapped for a link while it is being copied never leads out", async () => {
  await using at = await workspaceCopy(async (original, outside) => {
    for (let i = 0; i < 20; i += 1) writeFileSync(join(original, "src", `f${i}`), "inside");
    for (let i = 0; i < 20; i += 1) writeFileSync(join(outside, `f${i}`), "canary");
    symlinkSync(outside, join(original, "evil"));
    mkdirSync(join(original, "spare"));
  });
  const [src, evil, away] = ["src", "evil", "away"].map((name) => join(at.original, name)) as [string, string, string];
  let swaps = 0;
  let isOver = false;
  const swapping = (async () => {
    while (!isOver) {
      renameSync(src, away);
      renameSync(evil, src);
      await turn();
      renameSync(src, evil);
      renameSync(away, src);
      swaps += 1;
      await turn();
    }
  })();
  let copies = 0;
  const deadline = performance.now() + 3_000;
  while (swaps < 1_000 && performance.now() < deadline) {
    rmSync(at.copy, { recursive: true, force: true });
    // the original changes under it, which it may refuse; what it must not do is follow
    await at.session.prepare().catch((error: unknown) => expect(error).toBeInstanceOf(Error));
    for (const file of filesBelow(at.copy)) expect(readFileSync(file, "utf8")).not.toBe("canary");
    copies += 1;
  }
  isOver = true;
  await swapping;
  expect([swaps > 50, copies > 5]).toEqual([true, true]);
});

/** Regular files, no link followed. */
function filesBelow(path: string): string[] {
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch {
    return []; // the copy was refused before it began
  }
  return entries.flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(path, entry.name)) : entry.isFile() ? [join(path, entry.name)] : [],
  );
}
