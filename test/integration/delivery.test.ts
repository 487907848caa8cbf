import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readDeadLetters } from "../../src/events/delivery/dead-letters.ts";
import { placeRequest } from "../../src/events/delivery/requests.ts";
import { tailEvents } from "../../src/events/tail.ts";
import type { Event } from "../../src/schema/event.ts";
import { deliveryDir, engineAt, webhook } from "../support/delivery.ts";
import { change, idsIn, logPlace, openAt } from "../support/event-log.ts";
import { arrivedIds, OK, receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

async function append(
  log: { append: (event: ReturnType<typeof change>) => Promise<Event> },
  count: number,
  from = 0,
): Promise<readonly string[]> {
  return (await Promise.all(Array.from({ length: count }, (_, at) => log.append(change(`r${from + at}`))))).map(({ id }) => id);
}

/** First arrivals, in order: what a receiver keeps that drops repetitions. */
function once(ids: readonly string[]): readonly string[] {
  return [...new Set(ids)];
}

describe("delivery", () => {
  test("brings every event in order, in batches of ten, with the chain's head", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([webhook("all", target.url)]);
    const ids = await append(log, 95);
    await waitFor(() => arrivedIds(target.received).length >= 96, { what: "96 events" });
    const arrived = arrivedIds(target.received);
    expect(arrived).toEqual([...(await idsIn(place.dir))]);
    expect(arrived.slice(1)).toEqual(ids);
    for (const { headers, body } of target.received) {
      expect((JSON.parse(body) as unknown[]).length).toBeLessThanOrEqual(10);
      expect(headers["agentkernel-chain-head"]).toMatch(/^chn_[0-9a-z]{24}:\d+:[0-9a-f]{64}$/);
      expect(headers["content-type"]).toBe("application/json");
    }
    await waitFor(() => engine.status()[0]?.lag === 0);
    expect(engine.status()[0]).toMatchObject({ state: "delivering", delivered: 96, retries: 0, deadLetters: 0, dropped: 0 });
  });

  test("waits for a full batch or for its time, whichever comes first", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    // the log's own beginning is its first event
    await engine.configure([webhook("slow", target.url, { flushMs: 3_600_000 })]);
    await append(log, 12);
    await waitFor(() => target.received.length > 0, { what: "the full batch" });
    await append(log, 3);
    expect(arrivedIds(target.received)).toHaveLength(10);
    await engine.configure([webhook("slow", target.url, { flushMs: 300 })]);
    await waitFor(() => target.received.length > 1, { what: "the flush" });
    expect(target.received.map(({ body }) => (JSON.parse(body) as unknown[]).length)).toEqual([10, 6]);
  });

  test("goes on where it was, and sends everything again when its cursor is lost", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    const log = await openAt(place);
    const first = engineAt(place, log);
    await first.configure([webhook("all", target.url)]);
    await append(log, 20);
    await waitFor(() => arrivedIds(target.received).length === 21);
    await first[Symbol.asyncDispose]();
    await log[Symbol.asyncDispose]();

    await using next = await openAt(place);
    const second = engineAt(place, next);
    await second.configure([webhook("all", target.url)]);
    // the end of the first chain and the beginning of the second
    await waitFor(() => arrivedIds(target.received).length === 23);
    await second[Symbol.asyncDispose]();
    const cursor = join(deliveryDir(place), "all", "cursor.json");
    expect(JSON.parse(await readFile(cursor, "utf8"))).toMatchObject({ v: 1 });

    await writeFile(cursor, "{");
    await using third = engineAt(place, next);
    await third.configure([webhook("all", target.url)]);
    await waitFor(() => arrivedIds(target.received).length === 46);
    expect(once(arrivedIds(target.received))).toHaveLength(23);
    await rm(cursor);
  });

  test("a dead sink blocks neither the others nor whoever appends", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using hanging = await receiver();
    hanging.behave(() => "hang");
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([webhook("dead", "http://127.0.0.1:1/"), webhook("hanging", hanging.url), webhook("alive", target.url)]);
    const ids = await append(log, 50);
    await waitFor(() => ids.every((id) => arrivedIds(target.received).includes(id)));
    await waitFor(() => engine.status().find(({ name }) => name === "dead")?.state === "failing");
    expect(engine.status().find(({ name }) => name === "alive")).toMatchObject({ state: "delivering", retries: 0 });
    // it is told once, and only it is told
    const told = await waitFor(async () => {
      const events = (await tailEvents({ dir: place.dir, last: 1000, types: ["security.finding"] })).map((event) =>
        event.type === "security.finding" ? event.reason : "",
      );
      return events.some((reason) => reason.includes("dead")) && events;
    });
    expect(told.filter((reason) => reason.includes("stream dead"))).toHaveLength(1);
    expect(told.join()).not.toContain("alive");
  });

  test("what was rejected is taken apart until it stands alone, and everything else arrives", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    target.behave(({ body }) => (body.includes('"poison"') ? { status: 422, body: "cannot read that" } : OK));
    await using engine = engineAt(place, log);
    const before = await append(log, 7);
    const { id: poison } = await log.append(change("poison"));
    const after = await append(log, 7, 7);
    await engine.configure([webhook("picky", target.url)]);
    await waitFor(async () => (await readDeadLetters(deliveryDir(place), "picky", 10)).length === 1);
    const [letter] = await readDeadLetters(deliveryDir(place), "picky", 10);
    expect(letter).toMatchObject({ reason: "HTTP 422: cannot read that", event: { id: poison } });
    const took = (): readonly string[] => arrivedIds(target.received.filter(({ body }) => !body.includes('"poison"')));
    await waitFor(() => [...before, ...after].every((id) => took().includes(id)));
    expect(once(took()).filter((id) => before.includes(id) || after.includes(id))).toEqual([...before, ...after]);
    expect(engine.status()[0]).toMatchObject({ deadLetters: 1 });
    const findings = await waitFor(async () => {
      const found = await tailEvents({ dir: place.dir, last: 100, types: ["security.finding"] });
      return found.length > 0 && found;
    });
    expect(findings).toMatchObject([{ finding: "delivery_rejected", reason: expect.stringContaining(poison) as string }]);

    // corrected at the receiver, it is delivered after all
    target.behave(() => OK);
    await placeRequest(deliveryDir(place), "picky", { kind: "replay_dead" });
    await waitFor(() => arrivedIds(target.received.slice(-5)).includes(poison));
    await waitFor(() => engine.status()[0]?.deadLetters === 0);
    expect(await readDeadLetters(deliveryDir(place), "picky", 10)).toEqual([]);
  });

  test("a receiver that rejects everything costs one statement for each event and no more", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    target.behave(() => ({ status: 400 }));
    await using log = await openAt(place);
    await append(log, 12);
    await using engine = engineAt(place, log);
    await engine.configure([webhook("no", target.url)]);
    await waitFor(() => engine.status()[0]?.lag === 0 && (engine.status()[0]?.deadLetters ?? 0) >= 13);
    const settled = engine.status()[0]?.deadLetters ?? 0;
    expect(settled).toBeLessThanOrEqual(2 * 13);
    await placeRequest(deliveryDir(place), "no", { kind: "purge_dead" });
    // what is left is about the purge itself
    await waitFor(async () =>
      (await readDeadLetters(deliveryDir(place), "no", 100)).every(
        ({ event }) => event.actor.kind === "system" && event.type !== "audit.log",
      ),
    );
  });

  test.each([401, 403, 410])("%d pauses and alerts; a resume goes on without a loss", async (status) => {
    await using place = await logPlace();
    await using target = await receiver();
    target.behave(() => ({ status }));
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([webhook("shy", target.url)]);
    const ids = await append(log, 25);
    await waitFor(() => engine.status()[0]?.state === "paused");
    const asked = target.received.length;
    await append(log, 25, 25);
    expect(target.received.length).toBe(asked);
    await waitFor(async () =>
      (await tailEvents({ dir: place.dir, last: 100, types: ["security.finding"] })).some(
        (event) => event.type === "security.finding" && event.finding === "delivery_paused" && event.severity === "high",
      ),
    );
    target.behave(() => OK);
    await placeRequest(deliveryDir(place), "shy", { kind: "resume" });
    await waitFor(() => ids.every((id) => arrivedIds(target.received.slice(asked)).includes(id)));
    expect(engine.status()[0]).toMatchObject({ state: "delivering", deadLetters: 0 });
  });

  test("everything since a time is sent again on request", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([webhook("again", target.url)]);
    const old = await append(log, 5);
    await waitFor(() => old.every((id) => arrivedIds(target.received).includes(id)));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const sinceMs = Date.now();
    const recent = await append(log, 5, 5);
    await waitFor(() => recent.every((id) => arrivedIds(target.received).includes(id)));
    const before = target.received.length;
    await placeRequest(deliveryDir(place), "again", { kind: "replay", sinceMs });
    await waitFor(() => recent.every((id) => arrivedIds(target.received.slice(before)).includes(id)));
    expect(arrivedIds(target.received.slice(before)).filter((id) => old.includes(id))).toEqual([]);
  });

  test("chains of other processes are delivered by the leader alone", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    await using other = await openAt(place);
    let isTaken = false;
    const takeLead = (): Disposable | undefined => {
      if (isTaken) return undefined;
      isTaken = true;
      return { [Symbol.dispose]: () => (isTaken = false) };
    };
    const first = engineAt(place, log, { takeLead });
    await using second = engineAt(place, other, { takeLead });
    // an answer that comes too late, or not at all since delivery was ended, would have its events come twice, as they should
    const patient = { http: { connectMs: 20_000, totalMs: 20_000 } };
    await first.configure([webhook("all", target.url, patient)]);
    await second.configure([webhook("all", target.url, patient)]);
    expect([first.leads("all"), second.leads("all")]).toEqual([true, false]);
    const ids = [...(await append(log, 15)), ...(await append(other, 15))];
    await waitFor(() => ids.every((id) => arrivedIds(target.received).includes(id)));
    expect(once(arrivedIds(target.received))).toHaveLength(arrivedIds(target.received).length);
    await first.drain(20_000);
    await first[Symbol.asyncDispose]();
    await waitFor(() => second.leads("all"));
    const more = await append(log, 15, 15);
    await waitFor(() => more.every((id) => arrivedIds(target.received).includes(id)));
    expect(once(arrivedIds(target.received))).toHaveLength(arrivedIds(target.received).length);
  });
});
