import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { holdPath } from "../../src/backends/bubblewrap/held-path.ts";
import { becomeOrdinaryUser } from "../support/ordinary-user.ts";

const { dir } = await becomeOrdinaryUser();

afterAll(() => dir[Symbol.asyncDispose]());

test("an ordinary user is told of a mount that the sandbox could not read, which runs as the same user", async () => {
  const [folder, file] = [join(dir.path, "folder"), join(dir.path, "file")];
  await mkdir(folder);
  await writeFile(file, "");
  for (const path of [folder, file]) {
    using held = await holdPath(path, "the mount");
    expect(held.isDirectory).toBe(path === folder);
    await chmod(path, 0);
    await expect(holdPath(path, "the mount")).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringMatching(/^the mount .* cannot be read by you, as whom the sandbox runs \(EACCES\)$/) as string,
    });
    await chmod(path, 0o700);
  }
});
