import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { DeadLetters, readDeadLetters } from "../../src/events/delivery/dead-letters.ts";
import { placeRequest } from "../../src/events/delivery/requests.ts";
import { tailEvents } from "../../src/events/tail.ts";
import { deliveryDir, engineAt, webhook } from "../support/delivery.ts";
import { change, logPlace, openAt } from "../support/event-log.ts";
import { arrivedIds, OK, receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

describe("delivery", () => {
  test("a stream that is taken away and comes back goes on where it was", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([webhook("comes-back", target.url)]);
    const { id: before } = await log.append(change("before"));
    await waitFor(() => arrivedIds(target.received).includes(before));
    await engine.configure([]);
    const { id: between } = await log.append(change("between"));
    expect(engine.status()).toEqual([]);
    await engine.configure([webhook("comes-back", target.url)]);
    const { id: after } = await log.append(change("after"));
    await waitFor(() => arrivedIds(target.received).includes(after));
    // what was under way when it was taken away may come twice, and nothing else
    const ids = arrivedIds(target.received);
    expect([...new Set(ids)].slice(1)).toEqual([before, between, after]);
    expect(ids.filter((id) => id === between || id === after)).toHaveLength(2);
  });

  test("a clock that jumps back hides no event from a hook that was made before", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    let behindMs = 0;
    const clock = { now: () => systemClock.now() - behindMs, monotonic: () => systemClock.monotonic() };
    const log = await openAt(place, { clock });
    const { id: early } = await log.append(change("early"));
    await using engine = engineAt(place, log);
    await engine.configure([
      webhook("hook@clock", target.url, { sinceMs: systemClock.now() + 1, wanted: (event) => event.type === "admin.change" }),
    ]);
    const { id: first } = await log.append(change("first", { reason: "later" }));
    await waitFor(() => arrivedIds(target.received).includes(first));
    behindMs = 3_600_000;
    const { id: second } = await log.append(change("an hour ago"));
    await using other = await openAt(place, { clock });
    const { id: third } = await other.append(change("in a chain of then"));
    await waitFor(() => [second, third].every((id) => arrivedIds(target.received).includes(id)), { what: "events of an hour ago" });
    expect(arrivedIds(target.received)).not.toContain(early);
    await log[Symbol.asyncDispose]();
  });

  test("a receiver that refuses everything is paused before the dead letters fill the disk, and goes on when they are gone", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    target.behave(() => ({ status: 400, body: "no" }));
    await using log = await openAt(place);
    await using engine = engineAt(place, log, { maxLetters: 25 });
    await engine.configure([
      webhook("refuses", target.url, { wanted: (event) => event.type === "admin.change" && event.actor.kind === "user" }),
    ]);
    const ids: string[] = [];
    for (let at = 0; at < 100; at += 1) ids.push((await log.append(change(`r${at}`))).id);
    const status = await waitFor(() => engine.status()[0]?.state === "paused" && engine.status()[0], { what: "the pause" });
    expect(status.lastError).toContain("dead letters");
    expect(status.deadLetters).toBeGreaterThanOrEqual(25);
    expect(status.deadLetters).toBeLessThan(36);
    const told = (await tailEvents({ dir: place.dir, last: 1_000, types: ["security.finding"] })).filter(
      (event) => event.type === "security.finding" && event.finding === "delivery_paused",
    );
    expect(told).toHaveLength(1);
    // resuming without making room changes nothing
    await placeRequest(deliveryDir(place), "refuses", { kind: "resume" });
    await engine.look();
    await waitFor(() => engine.status()[0]?.state === "paused");
    target.behave(() => OK);
    await placeRequest(deliveryDir(place), "refuses", { kind: "replay_dead" });
    await waitFor(() => ids.every((id) => arrivedIds(target.received).includes(id)), { what: "everything, once it is taken" });
    await waitFor(() => engine.status()[0]?.state === "delivering" && engine.status()[0]?.deadLetters === 0);
    expect(await readDeadLetters(deliveryDir(place), "refuses", 10)).toEqual([]);
  });

  test("dead letters behind one that a crash tore are kept, and a torn list of finished chains costs only repetitions", async () => {
    await using place = await logPlace();
    const dir = deliveryDir(place);
    await using log = await openAt(place);
    const event = await log.append(change("x"));
    const letter = (seq: number) => ({ time: "2026-11-21T10:00:00.000Z", reason: "no", chain: log.head().chain, seq, event });
    const letters = await DeadLetters.open(dir, "torn");
    await letters.add([letter(1)]);
    await appendFile(join(dir, "torn", "dead.jsonl"), JSON.stringify(letter(2)).slice(0, 40));
    const again = await DeadLetters.open(dir, "torn");
    expect(again.count).toBe(1);
    await again.add([letter(3)]);
    expect((await readDeadLetters(dir, "torn", 10)).map(({ seq }) => seq)).toEqual([1, 3]);

    await using target = await receiver();
    const earlier = await openAt(place);
    await earlier[Symbol.asyncDispose]();
    const first = engineAt(place, log);
    await first.configure([webhook("all", target.url)]);
    const finished = join(dir, "all", "finished");
    const text = await waitFor(() => readFile(finished, "utf8"), { what: "the earlier chain to be finished" });
    await first[Symbol.asyncDispose]();
    await writeFile(finished, text.slice(0, 12));
    const count = arrivedIds(target.received).length;
    await using second = engineAt(place, log);
    await second.configure([webhook("all", target.url)]);
    const { id } = await log.append(change("y"));
    await waitFor(() => arrivedIds(target.received).includes(id));
    await waitFor(() => second.status()[0]?.lag === 0);
    expect(new Set(arrivedIds(target.received)).size).toBe(count + 1);
    await rm(finished);
  });
});
