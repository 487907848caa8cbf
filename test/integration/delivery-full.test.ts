import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { readLagging } from "../../src/events/delivery/undelivered.ts";
import type { ChainedEventLog } from "../../src/events/log.ts";
import { tailEvents } from "../../src/events/tail.ts";
import { deliveryDir, engineAt, webhook } from "../support/delivery.ts";
import { change, type LogPlace, logPlace, openAt, verifyAt } from "../support/event-log.ts";
import { arrivedIds, OK, receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

const MAX_BYTES = 100_000;

function openSmall(place: LogPlace, onFull: "drop_oldest" | "block" | "deny"): Promise<ChainedEventLog> {
  return openAt(place, {
    limits: { rotateBytes: 12_000 },
    retention: { maxBytes: MAX_BYTES },
    onFull,
    lagging: () => readLagging(deliveryDir(place), ["all"]),
  });
}

/** Appends until the log has taken so many bytes, or until it refuses or waits for seconds. */
async function fill(
  log: ChainedEventLog,
  bytes: number,
): Promise<{ readonly ids: string[]; readonly end: "full" | "refused" | "waiting"; readonly pending: Promise<unknown> }> {
  const ids: string[] = [];
  for (let taken = 0; taken < bytes; taken += 1_300) {
    const appending = log.append(change("r", { reason: "x".repeat(1_000) }));
    try {
      const done = await Promise.race([appending, delay(5_000, undefined)]);
      if (done === undefined) return { ids, end: "waiting", pending: appending };
      ids.push(done.id);
    } catch (error) {
      expect(error).toMatchObject({ code: "DISK_FULL" });
      return { ids, end: "refused", pending: Promise.resolve() };
    }
  }
  return { ids, end: "full", pending: Promise.resolve() };
}

describe("past max_bytes, with events that a stream has not received", () => {
  test("V98: drop_oldest removes them, counts them and says which in the log", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    target.behave(() => ({ status: 503 }));
    await using log = await openSmall(place, "drop_oldest");
    let dropped = 0;
    await using engine = engineAt(place, log, {
      meter: {
        attempt: () => undefined,
        delivered: () => undefined,
        deadLettered: () => undefined,
        gauges: () => undefined,
        dropped: (_, events) => (dropped += events),
      },
    });
    await engine.configure([webhook("all", target.url)]);
    const { ids, end } = await fill(log, 300_000);
    expect(end).toBe("full");
    const gaps = await waitFor(async () => {
      const found = (await tailEvents({ dir: place.dir, last: 5_000, types: ["audit.log"] })).filter(
        (event) => event.type === "audit.log" && event.operation === "gap",
      );
      return found.length > 3 && found;
    });
    expect(gaps[0]).toMatchObject({
      first_seq: expect.any(Number) as number,
      reason: expect.stringMatching(/^all had not received \d+ events when they were removed for max_bytes$/) as string,
    });
    target.behave(() => OK);
    await waitFor(() => engine.status()[0]?.lag === 0);
    // what is left arrives in order, and the hole is as large as what is said about it
    const arrived = arrivedIds(target.received).filter((id) => ids.includes(id));
    expect(new Set(arrived).size).toBeLessThan(ids.length);
    expect(dropped).toBeGreaterThan(0);
    expect(engine.status()[0]?.dropped).toBe(dropped);
    expect((await verifyAt(place)).exit).toBe(0);
  });

  test("deny refuses new events, loses none that was taken, and says how many it refused", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    target.behave(() => ({ status: 503 }));
    await using log = await openSmall(place, "deny");
    await using engine = engineAt(place, log);
    await engine.configure([webhook("all", target.url)]);
    const { ids, end } = await fill(log, 400_000);
    expect(end).toBe("refused");
    expect(log.health()).toMatchObject({ isWritable: false, code: "DISK_FULL" });
    target.behave(() => OK);
    await waitFor(() => log.health().isWritable, { what: "room", timeoutMs: 15_000 });
    const { id } = await log.append(change("after"));
    await waitFor(() => arrivedIds(target.received).includes(id));
    expect(new Set(arrivedIds(target.received).filter((one) => ids.includes(one))).size).toBe(ids.length);
    const gap = (await tailEvents({ dir: place.dir, last: 1_000, types: ["audit.log"] })).find(
      (event) => event.type === "audit.log" && event.operation === "gap",
    );
    expect(gap).toMatchObject({ reason: expect.stringMatching(/^[1-9]\d* events since .* were not written/) as string });
  });

  test("block lets them wait until there is room", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    target.behave(() => ({ status: 503 }));
    await using log = await openSmall(place, "block");
    await using engine = engineAt(place, log);
    await engine.configure([webhook("all", target.url)]);
    const { ids, end, pending } = await fill(log, 400_000);
    expect(end).toBe("waiting");
    target.behave(() => OK);
    await pending;
    await waitFor(() => engine.status()[0]?.lag === 0, { timeoutMs: 15_000 });
    expect(new Set(arrivedIds(target.received).filter((id) => ids.includes(id))).size).toBe(ids.length);
  });
});
