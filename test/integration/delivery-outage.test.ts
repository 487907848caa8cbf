import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { listChains, listSegments } from "../../src/events/layout.ts";
import { logPlace, verifyAt } from "../support/event-log.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { arrivedIds, receiver, OK } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

const PROGRAM = fileURLToPath(new URL("../support/delivery-program.ts", import.meta.url));
const isLong = Boolean(process.env["AGENTKERNEL_LONG"]);
/** every wait of the delivery is a thousandth: an hour is 3.6 s */
const OUTAGE_S = isLong ? 60 : 6;
const RATE = 1_000;
const KILLS = isLong ? 500 : 16;

type Sample = {
  readonly appended: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
  readonly lag: number;
  readonly retries: number;
  readonly isDone: boolean;
};

type Program = { readonly child: ChildProcess; readonly samples: Sample[]; readonly ended: Promise<NodeJS.Signals | number | null> };

function start(home: string, url: string, rate: number, count: number): Program {
  const child = spawn(process.execPath, ["--expose-gc", PROGRAM, home, url, String(rate), String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const samples: Sample[] = [];
  let rest = "";
  child.stdout.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    samples.push(...lines.map((line) => JSON.parse(line) as Sample));
  });
  return { child, samples, ended: new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code))) };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** Ids of each chain in the order of the log. */
async function idsByChain(dir: string): Promise<readonly (readonly string[])[]> {
  const chains: string[][] = [];
  for (const chain of await listChains(dir)) {
    const ids: string[] = [];
    for (const { name } of await listSegments(dir, chain)) {
      for (const match of (await readFile(join(dir, chain, name), "utf8")).matchAll(/"id":"(evt_[^"]+)"/g)) ids.push(match[1] ?? "");
    }
    chains.push(ids);
  }
  return chains;
}

/** Nothing is missing, first arrivals stand in the order of their chain, and a repetition is the same event. */
async function expectAllInOrder(dir: string, arrived: readonly string[]): Promise<number> {
  const firsts = [...new Set(arrived)];
  const place = new Map(firsts.map((id, at) => [id, at]));
  let total = 0;
  for (const ids of await idsByChain(dir)) {
    expect(ids.flatMap((id, at) => (place.has(id) ? [] : [`${id}: ${at + 1} of ${ids.length}`]))).toEqual([]);
    const places = ids.map((id) => place.get(id) ?? -1);
    expect(places.every((at, index) => index === 0 || at > (places[index - 1] ?? 0))).toBe(true);
    total += ids.length;
  }
  expect(firsts).toHaveLength(total);
  return total;
}

test(`an outage of ${OUTAGE_S} s at ${RATE} events/s: everything arrives afterwards, in order, and memory stays flat`, {
  timeout: 60_000 + OUTAGE_S * 6_000,
}, async ({ annotate }) => {
  await using place = await logPlace();
  const port = await freePort();
  const { samples, ended } = start(place.path, `http://127.0.0.1:${port}/in`, RATE, RATE * (OUTAGE_S + 4));
  await waitFor(() => (samples.at(-1)?.appended ?? 0) >= RATE * OUTAGE_S, {
    what: "the outage to pass",
    timeoutMs: 20_000 + OUTAGE_S * 3_000,
  });
  const during = [...samples];
  await using target = await receiver({ port });
  await waitFor(() => samples.at(-1)?.isDone === true, { what: "everything to be received", timeoutMs: 40_000 + OUTAGE_S * 3_000 });
  expect(await ended).toBe(0);
  const total = await expectAllInOrder(place.dir, arrivedIds(target.received));
  expect(total).toBeGreaterThan(RATE * (OUTAGE_S + 4));
  expect(arrivedIds(target.received).length).toBe(total);
  // what waits lies on disk: the lag grows by thousands, the memory does not
  const settled = during.filter(({ appended }) => appended > RATE);
  const held = settled.map(({ heapUsed, external }) => heapUsed + external);
  const growth = Math.max(...held.slice(-3)) - Math.min(...held.slice(0, 3));
  expect(settled.at(-1)?.lag).toBeGreaterThan(RATE * (OUTAGE_S - 2));
  expect(growth).toBeLessThan(8 << 20);
  await annotate(
    `${total} events; lag at the end of the outage ${settled.at(-1)?.lag}; memory grew by ${(growth / 1024).toFixed(0)} KiB meanwhile`,
  );
});

test(`${KILLS} kills of the deliverer: nothing is lost, repetitions carry the same id, and order is kept`, {
  timeout: 60_000 + KILLS * 4_000,
}, async ({ annotate }) => {
  await using place = await logPlace();
  await using target = await receiver();
  // now and then it is the receiver that fails, so that retries are killed too
  target.behave((_, count) => (count % 17 === 0 ? { status: 503 } : count % 29 === 0 ? "reset" : { status: 200 }));
  for (let round = 0; round < KILLS; round += 1) {
    const { child, samples, ended } = start(place.path, target.url, 800, 0);
    await waitFor(() => samples.length > 0, { what: "the program to begin", timeoutMs: 60_000 });
    await delay(Math.random() * 500);
    child.kill("SIGKILL");
    expect(await ended).toBe("SIGKILL");
  }
  // what fails at the very end waits for the next start, and there is none
  const failing = target.received.length;
  target.behave(() => OK);
  const last = start(place.path, target.url, 100, 10);
  await waitFor(() => last.samples.at(-1)?.isDone === true, { what: "the rest to be received", timeoutMs: 60_000 });
  expect(await last.ended).toBe(0);
  const delivered = target.received.filter((_, at) => at >= failing || ((at + 1) % 17 !== 0 && (at + 1) % 29 !== 0));
  const arrived = arrivedIds(delivered);
  const total = await expectAllInOrder(place.dir, arrived);
  const bodies = new Map<string, string>();
  for (const { body } of delivered) {
    for (const event of JSON.parse(body) as readonly { readonly id: string }[]) {
      const text = JSON.stringify(event);
      expect(bodies.get(event.id) ?? text).toBe(text);
      bodies.set(event.id, text);
    }
  }
  expect((await verifyAt(place)).exit).toBe(0);
  await annotate(`${KILLS} kills; ${total} events, ${arrived.length - total} repetitions`);
});
