import { chownSync, mkdirSync, readdirSync, renameSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { requires } from "../../../test/support/requires.ts";
import { tempDir } from "../../../test/support/temp.ts";
import { ownIdentity } from "../../base/process-identity.ts";
import { takeLoginLease } from "./login-lease.ts";

const leases = (dir: string): readonly string[] => readdirSync(dir).filter((name) => name.endsWith(".lease"));

async function login(dir: string, name = "auth.json"): Promise<string> {
  const path = join(dir, name);
  writeFileSync(path, "{}", { mode: 0o600 });
  return path;
}

/** What another process would have put there. */
async function planted(path: string, change: (name: string) => string): Promise<string> {
  const dir = join(path, "..");
  const name = await (async () => {
    using lease = await takeLoginLease(path, 0);
    expect(lease).toBeDefined();
    return leases(dir)[0] ?? "";
  })();
  const other = join(dir, change(name));
  writeFileSync(other, "");
  return other;
}

it("is one at a time, for a file by whatever name it is known, and over its replacement", async () => {
  await using dir = await tempDir();
  const real = join(dir.path, "real");
  mkdirSync(real);
  const path = await login(real);
  symlinkSync(real, join(dir.path, "folder"));
  symlinkSync(path, join(dir.path, "link.json"));
  const names = [path, join(dir.path, "folder", "auth.json"), join(dir.path, "link.json")];
  const first = await takeLoginLease(path, 0);
  expect(first).toBeDefined();
  for (const name of names) expect(await takeLoginLease(name, 0)).toBeUndefined();
  writeFileSync(join(real, "next"), "{}", { mode: 0o600 });
  renameSync(join(real, "next"), path);
  expect(await takeLoginLease(path, 100)).toBeUndefined();
  // another file of the same folder is another login
  using other = await takeLoginLease(await login(real, "other.json"), 0);
  expect(other).toBeDefined();
  const waiting = takeLoginLease(path, 10_000);
  first?.[Symbol.dispose]();
  (await waiting)?.[Symbol.dispose]();
  expect(leases(real)).toHaveLength(1);
});

it("comes to exactly one of many at a time, and to all of them in the end", async () => {
  await using dir = await tempDir();
  const path = await login(dir.path);
  let [inside, most, turns] = [0, 0, 0];
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      using lease = await takeLoginLease(path, 60_000);
      if (lease === undefined) return;
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      turns += 1;
    }),
  );
  expect([most, turns, leases(dir.path)]).toEqual([1, 12, []]);
});

const { bootId, pid, startTicks, pidNamespace } = ownIdentity();

it.each<[string, (name: string) => string]>([
  ["another boot", (name) => name.replace(bootId, "0".repeat(32))],
  ["a process that is gone, whose number is another's now", (name) => name.replace(`.${startTicks}.`, ".1.")],
  ["a process that is gone", (name) => name.replace(`.${pid}.`, ".2147483647.")],
])("is taken over from %s", async (_name, change) => {
  await using dir = await tempDir();
  const path = await login(dir.path);
  await planted(path, change);
  expect(leases(dir.path)).toHaveLength(1);
  using lease = await takeLoginLease(path, 0);
  expect(lease).toBeDefined();
  expect(leases(dir.path)).toHaveLength(1);
});

it("is waited for where its holder cannot be looked at, but not for ever", async () => {
  await using dir = await tempDir();
  const path = await login(dir.path);
  const other = await planted(path, (name) => name.replace(`.${pidNamespace}.`, ".1."));
  expect(await takeLoginLease(path, 0)).toBeUndefined();
  const longAgo = Date.now() / 1000 - 6 * 60;
  utimesSync(other, longAgo, longAgo);
  using lease = await takeLoginLease(path, 0);
  expect(lease).toBeDefined();
});

it.each([
  ["of no known form", (name: string) => name.replace(`.${pid}.`, ".x.")],
  ["of another file", (name: string) => `.agentkernel-${"0".repeat(16)}${name.slice(29)}`],
])("heeds no name %s, and leaves it alone", async (_name, change) => {
  await using dir = await tempDir();
  const path = await login(dir.path);
  const other = await planted(path, change);
  using lease = await takeLoginLease(path, 0);
  expect(lease).toBeDefined();
  expect(readdirSync(dir.path)).toContain(other.slice(dir.path.length + 1));
});

describe("in a folder where everybody may put something", requires("root"), () => {
  it("heeds nobody but the login's owner, the folder's, root and itself", async () => {
    await using dir = await tempDir();
    const path = await login(dir.path);
    const other = await planted(path, (name) => name.replace(/[0-9a-f]{12}\.lease$/, `${"0".repeat(12)}.lease`));
    chownSync(other, 65_533, 65_533);
    {
      using lease = await takeLoginLease(path, 0);
      expect(lease).toBeDefined();
    }
    // the same of somebody whose login it is
    chownSync(path, 65_533, 65_533);
    expect(await takeLoginLease(path, 0)).toBeUndefined();
  });
});

it("is refused where nothing can be stored", async () => {
  await expect(takeLoginLease("/proc/self/auth.json", 0)).rejects.toMatchObject({ code: "FORBIDDEN" });
});
