import { appendFile, chmod, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readBatch, replayEvents } from "../../src/events/read-forward.ts";
import { readEvents, tailEvents } from "../../src/events/tail.ts";
import type { Event } from "../../src/schema/event.ts";
import { change, idsIn, logPlace, onlyFile, openAt, pretendReboot, tunnel, verifyAt } from "../support/event-log.ts";
import { waitFor } from "../support/wait-for.ts";

describe("a log", () => {
  test("acknowledges what it wrote, in order, and verifies", async () => {
    await using place = await logPlace();
    const seen: string[] = [];
    const log = await openAt(place);
    log.subscribe((event) => seen.push(event.id));
    const appended = await Promise.all(
      Array.from({ length: 2500 }, (_, index) => log.append(index % 3 === 0 ? change(`r${index}`) : tunnel(`h${index}`))),
    );
    const ids = appended.map((event) => event.id);
    expect(ids).toEqual([...ids].sort());
    expect(seen.filter((id) => ids.includes(id))).toEqual(ids);
    expect(log.health()).toEqual({ isWritable: true });
    expect(log.head().seq).toBe(2501);
    await log[Symbol.asyncDispose]();
    expect([...(await idsIn(place.dir))].filter((id) => ids.includes(id))).toEqual(ids);
    const report = await verifyAt(place);
    expect(report).toMatchObject({ exit: 0, verdict: "intact", events: 2502, anchor: "no anchor" });
    expect(report.chains[0]).toMatchObject({ signatures: "checked", anchor: "checkpoint", isOpen: false, last: { seq: 2502 } });
    expect(await readdir(join(place.dir, "owners"))).toEqual([]);
  });

  test("is private to its user", async () => {
    await using place = await logPlace();
    const log = await openAt(place);
    await log.append(change("a"));
    await log[Symbol.asyncDispose]();
    const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
    expect(await modeOf(place.keyFile)).toBe(0o600);
    expect(await modeOf(place.dir)).toBe(0o700);
    for (const entry of await readdir(place.dir, { recursive: true, withFileTypes: true })) {
      expect([entry.name, await modeOf(join(entry.parentPath, entry.name))]).toEqual([entry.name, entry.isDirectory() ? 0o700 : 0o600]);
    }
  });

  test("refuses a key that others can read, and a directory that is something else", async () => {
    await using place = await logPlace();
    await (await openAt(place))[Symbol.asyncDispose]();
    await chmod(place.keyFile, 0o644);
    await expect(openAt(place)).rejects.toMatchObject({ code: "STATE_UNUSABLE", hint: `chmod 600 ${place.keyFile}` });
    await chmod(place.keyFile, 0o600);
    const link = join(place.path, "link");
    await symlink(place.dir, link);
    await expect(openAt({ ...place, dir: link })).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
    await writeFile(join(place.path, "file"), "");
    await expect(openAt({ ...place, dir: join(place.path, "file") })).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
  });

  test("makes the key once, whoever comes first", async () => {
    await using place = await logPlace();
    const logs = await Promise.all([openAt(place), openAt(place), openAt(place), openAt(place)]);
    await Promise.all(logs.map((log) => log[Symbol.asyncDispose]()));
    expect(await verifyAt(place)).toMatchObject({ exit: 0 });
    expect(await readdir(join(place.path, "config"))).toEqual(["audit.key"]);
  });

  test("rotates by size and signs each seal; every segment begins where the one before ended", async () => {
    await using place = await logPlace();
    const log = await openAt(place, { limits: { rotateBytes: 20_000 } });
    for (let index = 0; index < 30; index += 1)
      await Promise.all(Array.from({ length: 10 }, (_, item) => log.append(change(`${index}.${item}`))));
    await log[Symbol.asyncDispose]();
    const [chain = ""] = (await readdir(place.dir)).filter((name) => name.startsWith("chn_"));
    const segments = (await readdir(join(place.dir, chain))).filter((name) => name.startsWith("0"));
    expect(segments.length).toBeGreaterThan(5);
    const seals = (await readFile(join(place.dir, chain, "checkpoints.jsonl"), "utf8")).match(/"kind":"seal"/g) ?? [];
    expect(seals).toHaveLength(segments.length - 1);
    expect(await verifyAt(place)).toMatchObject({ exit: 0 });
    expect(
      (await tailEvents({ dir: place.dir, last: 1000, types: ["audit.log"] })).map((event) =>
        event.type === "audit.log" ? event.operation : "",
      ),
    ).toEqual(["start", ...seals.map(() => "rotate"), "stop"]);
  });

  test("rotates by age", async () => {
    await using place = await logPlace();
    let now = Date.now();
    const log = await openAt(place, { clock: { now: () => now, monotonic: () => performance.now() } });
    await log.append(change("a"));
    now += 24 * 60 * 60 * 1000 + 1;
    await log.append(change("b"));
    expect(log.head().seq).toBe(4);
    await log[Symbol.asyncDispose]();
    expect((await readdir(place.dir, { recursive: true })).filter((name) => /\/0{15}\d\.jsonl$/.test(name))).toHaveLength(2);
    expect(await verifyAt(place)).toMatchObject({ exit: 0 });
  });

  test("flush waits for fast events, and a closed log refuses", async () => {
    await using place = await logPlace();
    const log = await openAt(place, { limits: { fastSyncMs: 3_600_000 } });
    await log.append(tunnel("a"));
    await log.flush();
    expect(log.stats()).toMatchObject({ queuedBytes: 0, queuedEvents: 0, lost: 0 });
    await log[Symbol.asyncDispose]();
    await log[Symbol.asyncDispose]();
    await expect(log.append(change("late"))).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
  });

  test("a fast event reaches the disk by itself", async () => {
    await using place = await logPlace();
    await using log = await openAt(place, { limits: { fastSyncMs: 20 } });
    await log.append(tunnel("a"));
    await waitFor(() => log.stats().queuedBytes === 0, { what: "the background sync" });
  });

  test("signs its head also when nothing happens", async () => {
    await using place = await logPlace();
    await using log = await openAt(place, { limits: { checkpointMs: 30 } });
    await log.append(change("a"));
    const file = await onlyFile(place.dir, "checkpoints.jsonl");
    await waitFor(async () => (await readFile(file, "utf8")).split("\n").length > 3, { what: "heartbeats" });
    expect(await verifyAt(place)).toMatchObject({ exit: 0, chains: [{ isOpen: true }] });
  });

  test("holds appends back when too much waits, and loses none", async () => {
    await using place = await logPlace();
    await using log = await openAt(place, { limits: { heldEvents: 10, heldBytes: 4000, batchEvents: 7 } });
    const events = await Promise.all(
      Array.from({ length: 500 }, (_, index) => log.append(index % 2 === 0 ? tunnel(`h${index}`) : change(`r${index}`))),
    );
    await log.flush();
    const ids = await idsIn(place.dir);
    expect(events.filter((event) => !ids.has(event.id))).toEqual([]);
  });

  test("survives a listener that throws and one that leaves", async () => {
    await using place = await logPlace();
    await using log = await openAt(place);
    const seen: string[] = [];
    log.subscribe(() => {
      throw new Error("listener");
    });
    const leave = log.subscribe((event) => seen.push(event.id));
    const first = await log.append(change("a"));
    leave();
    await log.append(change("b"));
    expect(seen).toContain(first.id);
    expect(seen.at(-1)).toBe(first.id);
  });
});

describe("reading", () => {
  test("merges chains by time, newest first, and filters", async () => {
    await using place = await logPlace();
    const one = await openAt(place);
    const two = await openAt(place, { limits: { rotateBytes: 2000 } });
    const ids: string[] = [];
    for (let index = 0; index < 40; index += 1) {
      const log = index % 3 === 0 ? one : two;
      ids.push((await log.append(index % 4 === 0 ? tunnel(`h${index}`, { sandbox: "web" }) : change(`r${index}`))).id);
    }
    expect((await tailEvents({ dir: place.dir, last: 10, types: ["admin.change", "egress.decision"] })).map((event) => event.id)).toEqual(
      ids.slice(-10),
    );
    const web = await tailEvents({ dir: place.dir, last: 100, sandbox: "web" });
    expect(web.map((event) => event.id)).toEqual(ids.filter((_, index) => index % 4 === 0));
    expect(await tailEvents({ dir: place.dir, last: 3, types: ["egress.decision"] })).toHaveLength(3);
    expect(await tailEvents({ dir: place.dir, last: 3, sinceMs: Date.now() + 1000 })).toEqual([]);
    const all: Event[] = [];
    for await (const event of readEvents({ dir: place.dir })) all.push(event);
    // what the log says of itself is made while a commit is under way, and keeps its place in its chain
    const times = all.filter((event) => event.type !== "audit.log").map((event) => event.timestamp);
    expect(times).toEqual([...times].sort().reverse());
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  test("of nothing is empty", async () => {
    await using place = await logPlace();
    expect(await tailEvents({ dir: place.dir, last: 10 })).toEqual([]);
  });

  test("goes backwards over blocks whatever the length of lines", async () => {
    await using place = await logPlace();
    const log = await openAt(place);
    const ids: string[] = [];
    for (let index = 0; index < 60; index += 1) ids.push((await log.append(change("x", { reason: "y".repeat((index * 977) % 8000) }))).id);
    await log[Symbol.asyncDispose]();
    expect((await tailEvents({ dir: place.dir, last: 1000, types: ["admin.change"] })).map((event) => event.id)).toEqual(ids);
  });

  test("leaves an unfinished last line out, however long", async () => {
    await using place = await logPlace();
    const log = await openAt(place);
    const { id } = await log.append(change("a"));
    await log[Symbol.asyncDispose]();
    const segment = await onlyFile(place.dir, "0001.jsonl");
    for (const junk of ["{", "x".repeat(200_000)]) {
      await appendFile(segment, junk);
      expect((await tailEvents({ dir: place.dir, last: 1000, types: ["admin.change"] })).map((event) => event.id)).toEqual([id]);
    }
  });

  test("forward by cursor gives every record once, over segments and growth", async () => {
    await using place = await logPlace();
    await using log = await openAt(place, { limits: { rotateBytes: 3000 } });
    const { chain } = log.head();
    const ids: string[] = [];
    const read: string[] = [];
    let cursor: Parameters<typeof readBatch>[2] = { seq: 0 };
    for (let round = 0; round < 10; round += 1) {
      for (let index = 0; index < 7; index += 1) ids.push((await log.append(change(`${round}.${index}`))).id);
      for (;;) {
        const batch = await readBatch(place.dir, chain, cursor, 5);
        cursor = batch.cursor;
        if (batch.records.length === 0) break;
        for (const record of batch.records) read.push((JSON.parse(record.json) as Event).id);
        // a cursor without its shortcut must lead to the same place
        if (round % 2 === 0) cursor = { seq: cursor.seq };
      }
    }
    expect(read.filter((id) => ids.includes(id))).toEqual(ids);
    expect(new Set(read).size).toBe(read.length);
    expect(cursor.seq).toBe(log.head().seq);
    const replayed: string[] = [];
    for await (const event of replayEvents({ dir: place.dir, sinceMs: 0, types: ["admin.change"] })) replayed.push(event.id);
    expect(replayed).toEqual(ids);
  });
});

describe("a chain whose process died", () => {
  test("is finished: the torn tail is set aside, the chain says so and verifies", async () => {
    await using place = await logPlace();
    const log = await openAt(place);
    await log.append(change("a"));
    const { seq } = log.head();
    const segment = await onlyFile(place.dir, "0001.jsonl");
    await appendFile(segment, '{"v":1,"chain":"chn_');
    await pretendReboot(place.dir);
    expect(await verifyAt(place)).toMatchObject({ exit: 3, verdict: "crash_tail", chains: [{ seq: seq + 1, tail: { bytes: 20 } }] });
    await (await openAt(place))[Symbol.asyncDispose]();
    expect(await verifyAt(place)).toMatchObject({ exit: 0, verdict: "intact" });
    const recovered = await tailEvents({ dir: place.dir, last: 100, types: ["audit.log"] });
    expect(recovered.find((event) => event.type === "audit.log" && event.operation === "recovered")).toMatchObject({
      bytes: 20,
      first_seq: seq + 1,
    });
    expect(await readFile(await onlyFile(place.dir, ".torn"), "utf8")).toBe('{"v":1,"chain":"chn_');
    // the old object still has its file open; nobody writes through it any more
    await log[Symbol.asyncDispose]();
  });

  test("is left alone while its process lives", async () => {
    await using place = await logPlace();
    await using first = await openAt(place);
    await first.append(change("a"));
    await using second = await openAt(place);
    await second.append(change("b"));
    expect(await readdir(join(place.dir, "owners"))).toHaveLength(2);
    expect(await verifyAt(place)).toMatchObject({ exit: 0, chains: [{ isOpen: true }, { isOpen: true }] });
  });

  test("is not touched when it was tampered with: a finding is recorded, or opening refused", async () => {
    await using place = await logPlace();
    const log = await openAt(place);
    await log.append(change("a"));
    await log.append(change("b"));
    const segment = await onlyFile(place.dir, "0001.jsonl");
    const bytes = await readFile(segment);
    const at = bytes.indexOf('"resource_id":"a"');
    bytes[at + 15] = 0x78;
    await writeFile(segment, bytes);
    await pretendReboot(place.dir);
    await expect(openAt(place, { onTampered: "refuse" })).rejects.toMatchObject({
      code: "AUDIT_UNAVAILABLE",
      hint: "agentkernel audit verify",
    });
    const second = await openAt(place);
    const [event] = await tailEvents({ dir: place.dir, last: 1, types: ["audit.log"] });
    await second[Symbol.asyncDispose]();
    expect(event).toMatchObject({ operation: "tampered", outcome: "error" });
    expect(await readFile(segment)).toEqual(bytes);
    expect(await verifyAt(place)).toMatchObject({ exit: 1, chains: [{ kind: "altered", seq: 2 }, { verdict: "intact" }] });
    await log[Symbol.asyncDispose]();
  });
});
