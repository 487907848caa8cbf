import { mkdir, rm, writeFile } from "node:fs/promises";
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

test("one whose file holds something else says what helps", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "x.lock");
  await writeFile(file, "this is no lock, but long enough to be looked at by SQLite".repeat(20));
  expect(() => ProcessLock.take(file)).toThrow(
    expect.objectContaining({ code: "STATE_UNUSABLE", hint: expect.stringContaining(`rm ${file}`) }),
  );
});

test.each(["", "{", "null", "{}", '{"pid":1}'])("a holder that cannot be read (%j) is asked of the lock itself", async (note) => {
  await using dir = await tempDir();
  const file = join(dir.path, "x.lock");
  await writeFile(`${file}.holder`, note);
  expect(lockHolder(file)).toBeUndefined();
  using lock = ProcessLock.take(file);
  expect(lock).toBeDefined();
  await writeFile(`${file}.holder`, note);
  expect(() => lockHolder(file)).toThrow(
    expect.objectContaining({ code: "STATE_UNUSABLE", hint: expect.stringContaining(`fuser -v ${file}`) }),
  );
});
