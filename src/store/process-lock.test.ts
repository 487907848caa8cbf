import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { lockHolder, ProcessLock } from "./process-lock.ts";

test("a lock whose holder could not be written down is not held", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "x.lock");
  await mkdir(`${file}.holder.new`);
  expect(() => ProcessLock.take(file)).toThrow(/cannot be taken: EISDIR/);
  await rm(`${file}.holder.new`, { recursive: true });
  using lock = ProcessLock.take(file);
  expect(lock).toBeDefined();
  expect(lockHolder(file)?.pid).toBe(process.pid);
});
