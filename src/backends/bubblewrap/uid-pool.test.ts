import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ownIdentity } from "../../base/process-identity.ts";
import { holderName, parseHolderName } from "./holder-name.ts";
import { parseSubordinateIds, UidPool } from "./uid-pool.ts";

describe("the range in /etc/subuid", () => {
  test("is the user's own line", () => {
    expect(parseSubordinateIds("other:100:5\nagentkernel:100000:65536\n", "agentkernel")).toEqual({ first: 100000, count: 65536 });
  });

  test.each([
    "",
    "agentkernel2:100000:65536",
    "agentkernel:0:65536",
    "agentkernel:500:10",
    "agentkernel:x:1",
    "agentkernel:100000:0",
    "# agentkernel:100000:1",
  ])("is not found in %j", (text) => {
    expect(parseSubordinateIds(text, "agentkernel")).toBeUndefined();
  });
});

test("a holder's name is read back, and nothing else is", () => {
  const name = holderName(ownIdentity(), "12");
  expect(parseHolderName(name)).toEqual({ holder: ownIdentity(), what: "12" });
  for (const other of ["", "12", `${name}.x/y`, "a.b.c.d.e", ".."]) expect(parseHolderName(other)).toBeUndefined();
});

describe("leases", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "uid-pool-"));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const range = { firstUid: 100_000, firstGid: 200_000, count: 8 };

  test("are all different, end with the range, and come back", async () => {
    const pool = new UidPool(range, dir);
    const leases = Array.from({ length: 8 }, () => pool.acquire());
    expect(new Set(leases.map((lease) => lease.owner.uid)).size).toBe(8);
    for (const { owner } of leases) expect(owner.gid - range.firstGid).toBe(owner.uid - range.firstUid);
    expect(() => pool.acquire()).toThrow(expect.objectContaining({ code: "LIMIT_EXCEEDED" }));
    expect((await pool.leased()).size).toBe(8);
    leases[3]?.release();
    expect(pool.acquire().owner).toEqual(leases[3]?.owner);
  });

  test("of a dead process are taken over, of a living one not", async () => {
    const dead = { ...ownIdentity(), startTicks: "1" };
    const alive = { ...ownIdentity(), pid: process.ppid, startTicks: await startOf(process.ppid) };
    for (let index = 0; index < 8; index += 1) await writeFile(join(dir, holderName(index === 5 ? dead : alive, String(index))), "");
    const pool = new UidPool(range, dir);
    expect(pool.acquire().owner.uid).toBe(100_005);
    expect(() => pool.acquire()).toThrow(expect.objectContaining({ code: "LIMIT_EXCEEDED" }));
    expect((await readdir(dir)).length).toBe(8);
  });

  test("that are counted leave no file of a dead holder", async () => {
    await writeFile(join(dir, holderName({ ...ownIdentity(), startTicks: "1" }, "3")), "");
    const pool = new UidPool(range, dir);
    const mine = pool.acquire();
    expect(await pool.leased()).toEqual(new Set([mine.owner.uid]));
    expect((await readdir(dir)).length).toBe(1);
  });

  test("of another boot are dead, those of another pid namespace are left alone", async () => {
    const one = { ...range, count: 1 };
    await writeFile(join(dir, holderName({ ...ownIdentity(), pidNamespace: "1" }, "0")), "");
    expect(() => new UidPool(one, dir).acquire()).toThrow(expect.objectContaining({ code: "LIMIT_EXCEEDED" }));
    await rm(join(dir, holderName({ ...ownIdentity(), pidNamespace: "1" }, "0")));
    await writeFile(join(dir, holderName({ ...ownIdentity(), bootId: "0".repeat(32) }, "0")), "");
    expect(new UidPool(one, dir).acquire().owner.uid).toBe(100_000);
  });
});

async function startOf(pid: number): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const text = await readFile(`/proc/${pid}/stat`, "latin1");
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
