import { readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { loadOrCreateKey } from "../../src/events/checkpoint-key.ts";
import { applyRetention, type Retention } from "../../src/events/retention.ts";
import { tailEvents } from "../../src/events/tail.ts";
import { tryTokenLock } from "../../src/events/token-lock.ts";
import { change, type LogPlace, logPlace, openAt, verifyAt } from "../support/event-log.ts";
import { waitFor } from "../support/wait-for.ts";

async function fill(place: LogPlace, count: number): Promise<string> {
  const log = await openAt(place, { limits: { rotateBytes: 3000 } });
  for (let index = 0; index < count; index += 1) await log.append(change(String(index)));
  await log[Symbol.asyncDispose]();
  return log.head().chain;
}

async function retain(place: LogPlace, retention: Retention): Promise<{ segments: number; bytes: number; events: number }> {
  let events = 0;
  const own = { chain: "chn_none", sign: async () => undefined };
  const done = await applyRetention({
    dir: place.dir,
    retention,
    own,
    log: silentLog,
    signer: await loadOrCreateKey(place.keyFile),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    deleted: () => {
      events += 1;
    },
  });
  return { ...done, events };
}

async function segmentsOf(place: LogPlace): Promise<readonly string[]> {
  return (await readdir(place.dir, { recursive: true })).filter((name) => /\/0\d{15}\.jsonl$/.test(name)).sort();
}

describe("retention", () => {
  test("removes the oldest segments first, with tombstones from which the chain verifies", async () => {
    await using place = await logPlace();
    const chain = await fill(place, 40);
    const before = await segmentsOf(place);
    expect(before.length).toBeGreaterThan(6);
    const total = (await Promise.all(before.map(async (name) => (await stat(join(place.dir, name))).size))).reduce(
      (sum, size) => sum + size,
      0,
    );
    const done = await retain(place, { maxBytes: total / 2 });
    const after = await segmentsOf(place);
    expect(after).toEqual(before.slice(done.segments));
    expect(done.events).toBe(done.segments);
    const report = await verifyAt(place);
    expect(report).toMatchObject({ exit: 0, verdict: "intact" });
    expect(report.chains[0]?.firstSeq).toBeGreaterThan(1);
    expect(report.bytes).toBeLessThanOrEqual(total / 2);
    // nothing is left to do
    expect(await retain(place, { maxBytes: total / 2 })).toMatchObject({ segments: 0 });
    expect((await tailEvents({ dir: place.dir, last: 1 }))[0]).toMatchObject({ operation: "stop" });
    // a segment that goes without a tombstone is still missed
    await rm(join(place.dir, after[0] ?? ""));
    expect(await verifyAt(place, { chain })).toMatchObject({ exit: 1, chains: [{ kind: "missing" }] });
  });

  test("removes whole chains by age, and an anchor of one of them is excused by its tombstone", async () => {
    await using place = await logPlace();
    const old = await fill(place, 20);
    const oldReport = (await verifyAt(place, { chain: old })).chains[0];
    const anchors = [{ chain: old, seq: oldReport?.last.seq ?? 0, hash: oldReport?.last.hash ?? "" }];
    for (const name of await segmentsOf(place)) await utimes(join(place.dir, name), 1, 1);
    const young = await fill(place, 5);
    await retain(place, { maxAgeMs: 60_000 });
    expect((await readdir(place.dir)).filter((name) => name.startsWith("chn_"))).toEqual([young]);
    expect(await verifyAt(place, { anchors })).toMatchObject({ exit: 0 });
    expect(await verifyAt(place, { anchors: [{ ...anchors[0], chain: "chn_000000000000000000000000", seq: 1, hash: "" }] })).toMatchObject({
      exit: 2,
    });
  });

  test("leaves the chains of living processes alone", async () => {
    await using place = await logPlace();
    await using log = await openAt(place, { limits: { rotateBytes: 3000 } });
    for (let index = 0; index < 20; index += 1) await log.append(change(String(index)));
    expect(await retain(place, { maxBytes: 1 })).toMatchObject({ segments: 0 });
  });

  test("runs by itself: at the start, and with each segment of its own chain", async () => {
    await using place = await logPlace();
    await fill(place, 40);
    const log = await openAt(place, { limits: { rotateBytes: 3000 }, retention: { maxBytes: 10_000 } });
    for (let index = 0; index < 60; index += 1) await log.append(change(String(index)));
    const size = async (): Promise<number> => {
      const report = await verifyAt(place);
      expect(report.exit).toBe(0);
      return report.bytes;
    };
    await waitFor(async () => (await size()) <= 14_000, { what: "retention" });
    await log[Symbol.asyncDispose]();
    expect(await verifyAt(place)).toMatchObject({ exit: 0, chains: [{ chain: log.head().chain }] });
    const removals = (await tailEvents({ dir: place.dir, last: 1000, types: ["audit.log"] })).filter(
      (event) => event.type === "audit.log" && event.operation === "delete",
    );
    expect(removals.length).toBeGreaterThan(0);
  });

  test("is done by one process at a time, and a dead holder's lock is taken over", async () => {
    await using place = await logPlace();
    const dir = join(place.path, "lock");
    const held = await Promise.all(Array.from({ length: 8 }, () => tryTokenLock(dir)));
    expect(held.filter((lock) => lock !== undefined)).toHaveLength(1);
    const [token = ""] = await readdir(dir);
    const dead = token.split(".").with(1, "0".repeat(32)).join(".");
    await rename(join(dir, token), join(dir, dead));
    await using taken = await tryTokenLock(dir);
    expect(taken).toBeDefined();
    expect(await readdir(dir)).toHaveLength(1);
  });
});
