import { spawnSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tailEvents } from "../../src/events/tail.ts";
import { change, idsIn, logPlace, openAt, tunnel, verifyAt } from "../support/event-log.ts";
import { errno, ForgetfulDisk } from "../support/forgetful-disk.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

/** Fails once. */
function once(error: Error): () => Error | undefined {
  let left: Error | undefined = error;
  return () => {
    const now = left;
    left = undefined;
    return now;
  };
}

describe("a failed fdatasync", () => {
  test("moves the events that wait to a new segment, and all are acknowledged", async () => {
    await using place = await logPlace();
    const disk = new ForgetfulDisk();
    const log = await openAt(place, { files: disk });
    await log.append(change("before"));
    disk.faults.datasync = once(errno("EIO"));
    const events = await Promise.all(
      Array.from({ length: 50 }, (_, index) => log.append(index % 2 === 0 ? change(`r${index}`) : tunnel(`h${index}`))),
    );
    expect(log.health()).toEqual({ isWritable: true });
    await log[Symbol.asyncDispose]();
    const ids = await idsIn(place.dir);
    expect(events.filter((event) => !ids.has(event.id))).toEqual([]);
    expect(await verifyAt(place)).toMatchObject({ exit: 0, events: 53 });
  });

  test("also when the old segment cannot be cut: its end is signed, and the rest does not count", async () => {
    await using place = await logPlace();
    const disk = new ForgetfulDisk();
    const log = await openAt(place, { files: disk });
    await log.append(change("before"));
    disk.faults.truncate = () => errno("EROFS");
    for (let round = 0; round < 5; round += 1) {
      disk.faults.datasync = once(errno("EIO"));
      await Promise.all(Array.from({ length: 5 }, (_, index) => log.append(change(`${round}.${index}`))));
    }
    await log[Symbol.asyncDispose]();
    expect(await verifyAt(place)).toMatchObject({ exit: 0, events: 28 });
    const events = await tailEvents({ dir: place.dir, last: 1000 });
    expect(new Set(events.map((event) => event.id)).size).toBe(events.length);
    expect(events).toHaveLength(28);
  });

  test("that goes on failing refuses, says why, and recovers by itself with a gap event", async () => {
    await using place = await logPlace();
    const disk = new ForgetfulDisk();
    const log = await openAt(place, { files: disk, limits: { retryMs: 30 } });
    const before = await log.append(change("before"));
    disk.faults.datasync = () => errno("EIO");
    const fast = await log.append(tunnel("acknowledged before anybody knows"));
    await expect(log.append(change("a"))).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    expect(log.health()).toMatchObject({ isWritable: false, code: "AUDIT_UNAVAILABLE", reason: expect.stringContaining("EIO") });
    await expect(log.append(change("b"))).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    await expect(log.flush()).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    delete disk.faults.datasync;
    await waitFor(() => log.health().isWritable, { what: "the log to recover" });
    const after = await log.append(change("after"));
    expect(log.stats().lost).toBe(2);
    await log[Symbol.asyncDispose]();
    const ids = await idsIn(place.dir);
    // what was only written is written again from memory
    expect([before, fast, after].filter((event) => !ids.has(event.id))).toEqual([]);
    const gaps = (await tailEvents({ dir: place.dir, last: 100, types: ["audit.log"] })).filter(
      (event) => event.type === "audit.log" && event.operation === "gap",
    );
    expect(gaps).toMatchObject([{ outcome: "error", reason: expect.stringMatching(/^2 events since .*EIO/) }]);
    expect(await verifyAt(place)).toMatchObject({ exit: 0 });
  });

  test("of a directory, a seal or a new segment's creation loses nothing either", async () => {
    for (const fault of ["syncDirectory", "create", "append"] as const) {
      await using place = await logPlace();
      const disk = new ForgetfulDisk();
      const log = await openAt(place, { files: disk, limits: { rotateBytes: 3000, retryMs: 10 } });
      const acknowledged: string[] = [];
      for (let round = 0; round < 20; round += 1) {
        if (round % 4 === 2) disk.faults[fault] = once(errno(round % 8 === 2 ? "EIO" : "ENOSPC"));
        const results = await Promise.allSettled(Array.from({ length: 5 }, (_, index) => log.append(change(`${round}.${index}`))));
        for (const result of results) if (result.status === "fulfilled") acknowledged.push(result.value.id);
        await waitFor(() => log.health().isWritable, { what: "the log to recover" });
      }
      await log[Symbol.asyncDispose]();
      const ids = await idsIn(place.dir);
      expect(acknowledged.filter((id) => !ids.has(id))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(50);
      expect([fault, await verifyAt(place)]).toMatchObject([fault, { exit: 0 }]);
    }
  });

  test("with on_failure = allow is counted and let pass", async () => {
    await using place = await logPlace();
    const disk = new ForgetfulDisk();
    const log = await openAt(place, { files: disk, onFailure: "allow", limits: { retryMs: 30 } });
    await log.append(change("before"));
    disk.faults.datasync = () => errno("EIO");
    disk.faults.append = () => errno("EIO");
    expect(await log.append(change("a"))).toMatchObject({ resource_id: "a", id: expect.stringMatching(/^evt_/) });
    expect(log.stats().lost).toBe(1);
    disk.faults.datasync = undefined as never;
    disk.faults.append = undefined as never;
    await waitFor(() => log.health().isWritable, { what: "the log to recover" });
    await log[Symbol.asyncDispose]();
    expect(await verifyAt(place)).toMatchObject({ exit: 0 });
  });
});

describe("a full disk", () => {
  test("injected: the half-written line is cut off, appends are refused with the remedy, and go on when there is room", async () => {
    await using place = await logPlace();
    const disk = new ForgetfulDisk();
    const log = await openAt(place, { files: disk, limits: { retryMs: 30 } });
    const before = await log.append(change("before"));
    disk.faults.append = () => errno("ENOSPC");
    await expect(log.append(change("a"))).rejects.toMatchObject({ code: "DISK_FULL", hint: expect.stringContaining("free space") });
    expect(log.health()).toMatchObject({ isWritable: false, code: "DISK_FULL" });
    delete disk.faults.append;
    await waitFor(() => log.health().isWritable, { what: "the log to recover" });
    const after = await log.append(change("after"));
    await log[Symbol.asyncDispose]();
    const ids = await idsIn(place.dir);
    expect([before, after].filter((event) => !ids.has(event.id))).toEqual([]);
    expect(await verifyAt(place)).toMatchObject({ exit: 0 });
  });

  test("a real one", requires("root"), async () => {
    await using place = await logPlace();
    const disk = join(place.path, "disk");
    await mkdir(disk);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", disk], { encoding: "utf8" });
    expect(mounted.stderr).toBe("");
    try {
      const small = { ...place, dir: join(disk, "audit") };
      const log = await openAt(small, { limits: { retryMs: 30 } });
      await writeFile(join(disk, "ballast"), Buffer.alloc(600_000));
      const acknowledged: string[] = [];
      let refusal: unknown;
      for (let index = 0; refusal === undefined && index < 2000; index += 1) {
        try {
          acknowledged.push((await log.append(change(`r${index}`, { reason: "x".repeat(1500) }))).id);
        } catch (error) {
          refusal = error;
        }
      }
      expect(refusal).toMatchObject({ code: "DISK_FULL" });
      expect(log.health()).toMatchObject({ isWritable: false, code: "DISK_FULL" });
      await rm(join(disk, "ballast"));
      await waitFor(() => log.health().isWritable, { what: "the log to recover" });
      acknowledged.push((await log.append(change("after"))).id);
      await log[Symbol.asyncDispose]();
      const ids = await idsIn(small.dir);
      expect(acknowledged.filter((id) => !ids.has(id))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(50);
      expect(await verifyAt(small)).toMatchObject({ exit: 0 });
      const text = await readFile(join(small.dir, log.head().chain, "0000000000000001.jsonl"), "utf8");
      expect(text.endsWith("\n")).toBe(true);
      // a chain that begins on a full disk begins closed
      spawnSync("dd", ["if=/dev/zero", `of=${join(disk, "ballast")}`, "bs=4096"], { stdio: "ignore" });
      const late = await openAt(small);
      await expect(late.append(change("late"))).rejects.toMatchObject({ code: "DISK_FULL" });
      await late[Symbol.asyncDispose]();
    } finally {
      expect(spawnSync("umount", ["-l", disk], { encoding: "utf8" }).stderr).toBe("");
    }
  });
});
