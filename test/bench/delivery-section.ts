import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COLLECTORS, syslogReceiver } from "../support/collectors.ts";
import { freePort } from "../support/free-port.ts";
import { OK, receiver } from "../support/receiver.ts";
import { type Child, startChild } from "./child.ts";
import type { Bench, Section } from "./context.ts";
import type { Append, Deliver, Delivered, DeliveryParameters } from "./delivery-program.ts";
import { type Figure, median } from "./figures.ts";

const SECTION = "delivery";
/** events/s of the outage that quality asks for: what every destination must keep up with */
const RATE = 1_000;
const HOW =
  "a log of allowed exchanges, delivered from its beginning in batches of 1,000 as OCSF 1.8.0 until nothing is left; the destination is a stand-in in another process on loopback that takes everything; median of the rounds";

type Program = Child<object>;

export const deliverySection: Section = {
  name: "delivery",
  run: async (bench) => {
    const home = join(bench.dir, "delivery");
    mkdirSync(home, { mode: 0o700 });
    const figures: Figure[] = [];
    {
      await using program = await startChild<object>("delivery-program.ts", { home } satisfies DeliveryParameters);
      const events = bench.choose(20_000, 1_000);
      await program.ask("append", { events, perSecond: 0 } satisfies Append);
      figures.push(...(await sinkFigures(bench, program, home)));
    }
    return [...figures, ...(await outage(bench))];
  },
};

async function sinkFigures(bench: Bench, program: Program, home: string): Promise<readonly Figure[]> {
  await using target = await receiver();
  await using syslog = await syslogReceiver("localhost");
  const origin = new URL(target.url).origin;
  const ca = join(home, "syslog.pem");
  writeFileSync(ca, syslog.ca);
  const destinations: readonly (Omit<Deliver, "isOcsf"> & { readonly collector?: string })[] = [
    { name: "http_webhook", destination: { type: "http_webhook", url: target.url }, collector: "a webhook" },
    { name: "file", destination: { type: "file", path: join(home, "stream.jsonl"), rotate_size: 1 << 26 } },
    {
      name: "splunk",
      destination: { type: "splunk", url: origin, token: "t", source: "s", sourcetype: "st" },
      collector: "a Splunk stand-in with acknowledgements",
    },
    { name: "elastic", destination: { type: "elastic", url: origin, index: "audit" }, collector: "an Elasticsearch stand-in" },
    { name: "datadog", destination: { type: "datadog", url: origin, api_key: "k", service: "s" }, collector: "a Datadog stand-in" },
    { name: "otlp", destination: { type: "otlp", url: origin }, collector: "an OTLP stand-in" },
    { name: "syslog", destination: { type: "syslog", host: "localhost", port: syslog.port, max_bytes: 65_536, facility: 13, ca_file: ca } },
  ];
  const figures: Figure[] = [];
  for (const { name, destination, collector } of destinations) {
    bench.say(`delivery: ${name}`);
    const found = COLLECTORS.find((one) => one.name === collector);
    target.behave((request, count) => found?.accept(request, count) ?? OK);
    const rounds: Delivered[] = [];
    for (let round = 0; round < bench.choose(3, 1); round += 1) {
      const delivered = await program.ask<Delivered>("deliver", { name: `${name}-${round}`, destination, isOcsf: true } satisfies Deliver);
      const { status } = delivered;
      if (status.deadLetters > 0 || status.retries > 0)
        throw new Error(`${name}: ${status.deadLetters} dead letters, ${status.retries} retries`);
      rounds.push(delivered);
    }
    figures.push({
      section: SECTION,
      name: `to ${name}`,
      unit: "events/s",
      ours: { value: median(rounds.map(({ events, seconds }) => events / seconds)) },
      samples: rounds.reduce((sum, { events }) => sum + events, 0),
      target: { of: "value", atLeast: RATE },
      how: HOW,
    });
  }
  return figures;
}

/** The receiver is away while events come at a rate, and comes back. */
async function outage(bench: Bench): Promise<readonly Figure[]> {
  const seconds = bench.choose(20, 1);
  bench.say(`delivery: an outage of ${seconds} s at ${RATE} events a second`);
  const home = join(bench.dir, "outage");
  mkdirSync(home, { mode: 0o700 });
  await using program = await startChild<object>("delivery-program.ts", { home } satisfies DeliveryParameters, {
    nodeArguments: ["--expose-gc"],
  });
  const { port } = await freePort();
  const url = `http://127.0.0.1:${port}/in`;
  await program.ask("begin", { name: "away", destination: { type: "http_webhook", url }, isOcsf: false } satisfies Deliver);
  await program.ask("append", { events: RATE, perSecond: RATE } satisfies Append);
  const before = await program.ask<{ heap: number }>("memory");
  const held: number[] = [];
  for (let second = 0; second < seconds; second += 1) {
    await program.ask("append", { events: RATE, perSecond: RATE } satisfies Append);
    held.push((await program.ask<{ heap: number }>("memory")).heap);
  }
  await using target = await receiver({ port });
  const caught = await program.ask<Delivered>("rest");
  const records = target.received.flatMap(({ body }) => JSON.parse(body) as readonly { readonly uid: string; readonly time: string }[]);
  const unique = new Set(records.map(({ uid }) => uid));
  const isOrdered = records.every(({ time }, at) => at === 0 || time >= (records[at - 1]?.time ?? ""));
  const lost = RATE * (seconds + 1) - records.filter((record) => JSON.stringify(record).includes("egress.exchange")).length;
  const how = `events at ${RATE} a second for ${seconds} s while the receiver is away (its waits are a hundredth of the product's), then it comes back; lost: events that never arrived, or out of order; memory: heap and buffers after a collection, the most of it less that of the beginning`;
  return [
    {
      section: SECTION,
      name: "lost in an outage",
      unit: "events",
      ours: { value: Math.max(0, lost) + (isOrdered ? 0 : 1), repeated: records.length - unique.size },
      samples: records.length,
      target: { of: "value", atMost: 0 },
      how,
    },
    {
      section: SECTION,
      name: "catching up after an outage",
      unit: "events/s",
      ours: { value: records.length / caught.seconds },
      samples: records.length,
      target: { of: "value", atLeast: 2 * RATE },
      how,
    },
    {
      section: SECTION,
      name: "memory that an outage takes",
      unit: "MiB",
      ours: { value: Math.max(...held) - before.heap },
      samples: held.length,
      target: { of: "value", atMost: 8 },
      how,
    },
  ];
}
