import { writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { engineAt, webhook } from "./delivery.ts";
import { change, openAt, tunnel } from "./event-log.ts";

/**
 * Appends at a rate and delivers to a webhook, until it is killed or, with a count, until everything was received; says what it
 * holds in memory twice a second. Arguments: home, URL, events a second, how many (0: for ever).
 */
const [home = "", url = "", rate = "0", count = "0"] = process.argv.slice(2);
const place = { path: home, dir: `${home}/audit`, keyFile: `${home}/config/audit.key`, [Symbol.asyncDispose]: () => Promise.resolve() };
const total = Number(count);
const log = await openAt(place, { limits: { rotateBytes: 1 << 20, checkpointEvents: 200 } });
const engine = engineAt(place, log);
await engine.configure([webhook("all", url, { http: { connectMs: 200, totalMs: 2_000 } })]);

let appended = 0;
const report = (isDone: boolean): void => {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  const { heapUsed, rss, external } = process.memoryUsage();
  const [{ lag, state, delivered, retries } = { lag: 0, state: "", delivered: 0, retries: 0 }] = engine.status();
  writeSync(1, `${JSON.stringify({ appended, heapUsed, external, rss, lag, state, delivered, retries, isDone })}\n`);
};
report(false);
const reporting = setInterval(() => report(false), 500);
const startedAt = performance.now();
while (total === 0 || appended < total) {
  const due = Math.min(Math.floor(((performance.now() - startedAt) / 1000) * Number(rate)), total === 0 ? Number.MAX_SAFE_INTEGER : total);
  const batch: Promise<unknown>[] = [];
  for (; appended < due; appended += 1) batch.push(log.append(appended % 10 === 0 ? change(`r${appended}`) : tunnel(`h${appended}`)));
  await Promise.all(batch);
  await delay(5);
}
while (engine.status()[0]?.lag !== 0) await delay(10);
clearInterval(reporting);
// as in the product: the end of the log is delivered as well
await log[Symbol.asyncDispose]();
await engine.drain(10_000);
report(true);
await engine[Symbol.asyncDispose]();
