import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { lstat, readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { workspaceCopy } from "../support/workspace-copy.ts";

test("pipes and sockets where files are read on the host make nothing wait, and do not arrive", async () => {
  const server = createServer();
  await using at = await workspaceCopy(async (original) => {
    execFileSync("mkfifo", [join(original, "pipe")]);
    server.listen(join(original, "socket"));
    await once(server, "listening");
  });
  try {
    await at.session.prepare();
    await at.session.handOver(undefined);
    expect((await readdir(at.copy)).sort()).toEqual(["src"]);
    // and from inside: a file of the workspace becomes a pipe that nobody writes to
    execFileSync("sh", ["-c", 'rm "$1" && mkfifo "$1" "$2"', "sh", join(at.copy, "src", "a.txt"), join(at.copy, "new-pipe")]);
    await at.session.finish(true);
    expect((await readdir(at.original)).sort()).toEqual(["pipe", "socket", "src"]);
    const kept = await lstat(join(at.original, "src")).then(() => readdir(join(at.original, "src")));
    for (const name of kept) expect((await lstat(join(at.original, "src", name))).isFile()).toBe(true);
    expect(kept.length === 0 || (await readFile(join(at.original, "src", "a.txt"), "utf8")) === "a").toBe(true);
  } finally {
    server.close();
  }
}, 10_000);
