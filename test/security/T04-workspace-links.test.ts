import { link, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { workspaceCopy } from "../support/workspace-copy.ts";

test("links that lead out are copied as links, and never followed when changes are written back", async () => {
  await using at = await workspaceCopy(async (original, outside) => {
    await symlink(join(outside, "canary"), join(original, "planted"));
    await symlink(outside, join(original, "directory"));
  });
  await at.session.prepare();
  await at.session.handOver(undefined);
  expect((await lstat(join(at.copy, "planted"))).isSymbolicLink()).toBe(true);
  // as hostile code inside: a directory becomes a link out, and files stand behind links
  await rm(join(at.copy, "src"), { recursive: true });
  await symlink(at.outside, join(at.copy, "src"));
  await rm(join(at.copy, "directory"));
  await mkdir(join(at.copy, "directory"));
  await writeFile(join(at.copy, "directory", "canary"), "overwritten");
  await rm(join(at.copy, "planted"));
  await writeFile(join(at.copy, "planted"), "overwritten");
  await at.session.finish(true);
  expect(await readdir(at.outside)).toEqual(["canary"]);
  expect(await readFile(join(at.outside, "canary"), "utf8")).toBe("canary");
  expect((await lstat(join(at.original, "directory"))).isDirectory()).toBe(true);
});

test("a hard link to a file outside is broken by a change, not written through", async () => {
  await using at = await workspaceCopy((original, outside) => link(join(outside, "canary"), join(original, "linked")));
  await at.session.prepare();
  await at.session.handOver(undefined);
  await writeFile(join(at.copy, "linked"), "overwritten");
  await at.session.finish(true);
  expect(await readFile(join(at.original, "linked"), "utf8")).toBe("overwritten");
  expect(await readFile(join(at.outside, "canary"), "utf8")).toBe("canary");
});
