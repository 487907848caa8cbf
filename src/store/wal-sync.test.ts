import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tempDir } from "../../test/support/temp.ts";
import { silentLog } from "../base/log.ts";
import { WalSync } from "./wal-sync.ts";

test("a file that is not there has nothing to sync", async () => {
  await using dir = await tempDir();
  await expect(new WalSync(join(dir.path, "x"), silentLog).flush()).resolves.toBeUndefined();
});

test("what does not reach the disk is a fault of the state, with what helps, each time", async () => {
  await using dir = await tempDir();
  // a device takes no sync: EINVAL (fsync(2))
  await symlink("/dev/null", join(dir.path, "x-wal"));
  const wal = new WalSync(join(dir.path, "x"), silentLog);
  const fault = { code: "STATE_UNUSABLE", message: expect.stringContaining("x-wal"), hint: expect.stringContaining("dmesg") };
  await expect(wal.flush()).rejects.toMatchObject(fault);
  await expect(wal.flush()).rejects.toMatchObject(fault);
});
