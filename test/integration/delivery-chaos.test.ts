import { readFile, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { readDeadLetters } from "../../src/events/delivery/dead-letters.ts";
import { createHttpClient, type HttpClientOptions } from "../../src/events/sinks/http-client.ts";
import { LinesFile } from "../../src/events/sinks/lines-file.ts";
import { webhookKey } from "../../src/events/sinks/standard-webhooks.ts";
import { Syslog } from "../../src/events/sinks/syslog.ts";
import type { ChainedEventLog } from "../../src/events/log.ts";
import { COLLECTORS, type Collector, elasticIds, otlpIds, syslogReceiver } from "../support/collectors.ts";
import { deliveryDir, engineAt, spec, webhook } from "../support/delivery.ts";
import { change, logPlace, openAt } from "../support/event-log.ts";
import { type Behaviour, OK, type Received, type Receiver, receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

const EVENTS = 35;

async function append(log: ChainedEventLog, count: number): Promise<readonly string[]> {
  return (await Promise.all(Array.from({ length: count }, (_, at) => log.append(change(`r${at}`))))).map(({ id }) => id);
}

function collectorSpec(collector: Collector, target: Receiver, http: HttpClientOptions = {}) {
  const { origin } = new URL(target.url);
  return spec("sink", () => Promise.resolve(collector.open(origin, createHttpClient({ connectMs: 300, totalMs: 250, ...http }))));
}

/** What goes wrong, for the first so many requests that carry events. */
const CHAOS: readonly { readonly what: string; readonly misbehave: Behaviour; readonly times: number }[] = [
  { what: "answers 500", misbehave: { status: 500, body: "down" }, times: 5 },
  { what: "answers 503", misbehave: { status: 503 }, times: 2 },
  { what: "answers 429 with Retry-After in seconds", misbehave: { status: 429, headers: { "retry-after": "1" } }, times: 2 },
  {
    what: "answers 429 with a date",
    misbehave: { status: 429, headers: { "retry-after": new Date(Date.now() - 60_000).toUTCString() } },
    times: 2,
  },
  { what: "resets the connection", misbehave: "reset", times: 3 },
  { what: "hangs", misbehave: "hang", times: 2 },
  { what: "answers one byte at a time", misbehave: "slow-loris", times: 2 },
  { what: "redirects", misbehave: { status: 302, headers: { location: "http://127.0.0.1:1/elsewhere" } }, times: 2 },
  { what: "says 404", misbehave: { status: 404 }, times: 2 },
];

describe.each(COLLECTORS)("$name", (collector) => {
  const hasEvents = (request: Received): boolean => collector.ids(request).length > 0;

  test.each(CHAOS)("V98: that $what misses nothing, in order, and fills no dead letters", async ({ misbehave, times }) => {
    await using place = await logPlace();
    await using target = await receiver();
    const taken: string[] = [];
    let bad = 0;
    target.behave((request, count) => {
      if (hasEvents(request) && bad < times) {
        bad += 1;
        return misbehave;
      }
      taken.push(...collector.ids(request));
      return collector.accept(request, count);
    });
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([collectorSpec(collector, target)]);
    const ids = await append(log, EVENTS);
    await waitFor(() => ids.every((id) => taken.includes(id)), { what: "every event", timeoutMs: 15_000 });
    expect(taken.filter((id) => ids.includes(id))).toEqual(ids);
    expect(await readDeadLetters(deliveryDir(place), "sink", 10)).toEqual([]);
    expect(engine.status()[0]?.retries).toBeGreaterThanOrEqual(times);
  });

  test("that takes no more than three events at once is sent fewer", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    const taken: string[] = [];
    target.behave((request, count) => {
      if (collector.ids(request).length > 3) return { status: 413 };
      taken.push(...collector.ids(request));
      return collector.accept(request, count);
    });
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([collectorSpec(collector, target)]);
    const ids = await append(log, EVENTS);
    await waitFor(() => ids.every((id) => taken.includes(id)), { what: "every event" });
    expect(taken.filter((id) => ids.includes(id))).toEqual(ids);
    expect(await readDeadLetters(deliveryDir(place), "sink", 10)).toEqual([]);
  });

  test("is given nothing when its certificate is for another name or from a stranger", async () => {
    await using place = await logPlace();
    await using other = await receiver({ tls: true, name: "other.example" });
    await using stranger = await receiver({ tls: true });
    await using good = await receiver({ tls: true });
    for (const target of [other, stranger, good]) target.behave((request, count) => collector.accept(request, count));
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    const toGood = { ...collectorSpec(collector, good, { ca: good.ca }), name: "good" };
    const toOther = { ...collectorSpec(collector, other, { ca: other.ca }), name: "other" };
    const toStranger = { ...collectorSpec(collector, stranger), name: "stranger" };
    await engine.configure([toGood, toOther, toStranger]);
    const ids = await append(log, 5);
    const taken = (): readonly string[] => good.received.flatMap((request) => collector.ids(request));
    await waitFor(() => ids.every((id) => taken().includes(id)));
    await waitFor(() => engine.status().filter(({ state }) => state === "failing").length === 2);
    expect([...other.received, ...stranger.received]).toEqual([]);
    expect(engine.status().find(({ name }) => name === "other")?.lastError).toMatch(/altnames|Hostname|certificate/i);
  });
});

describe("answers of 200 that report a loss", () => {
  test("Elasticsearch: 409 is there already, 429 is tried again, 400 is that event's own fault", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    const ids = await append(log, 9);
    const [there = "", busy = "", bad = ""] = [ids[1], ids[3], ids[5]];
    let wasBusy = 0;
    const taken: string[] = [];
    target.behave(({ body }) => {
      const items = elasticIds(body).map((id) => {
        if (id === bad) return { create: { _id: id, status: 400, error: { type: "mapper_parsing_exception", reason: "no" } } };
        if (id === busy && wasBusy++ < 2) return { create: { _id: id, status: 429, error: { type: "es_rejected_execution_exception" } } };
        const status = id === there || taken.includes(id) ? 409 : 201;
        taken.push(id);
        return { create: { _id: id, status } };
      });
      return { status: 200, body: JSON.stringify({ errors: true, items }) };
    });
    await using engine = engineAt(place, log);
    const elastic = COLLECTORS.find(({ name }) => name.includes("Elasticsearch"));
    await engine.configure([collectorSpec(elastic as Collector, target)]);
    await waitFor(() => ids.every((id) => id === bad || taken.includes(id)));
    const letters = await waitFor(async () => {
      const found = await readDeadLetters(deliveryDir(place), "sink", 10);
      return found.length > 0 && found;
    });
    expect(letters).toMatchObject([{ event: { id: bad }, reason: expect.stringContaining("mapper_parsing_exception") as string }]);
  });

  test("OTLP: rejected records are found one by one, and only they are given up", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    const ids = await append(log, 9);
    const bad = [ids[2], ids[7]];
    target.behave(({ body }) => {
      const rejected = otlpIds(body).filter((id) => bad.includes(id)).length;
      return {
        status: 200,
        body: JSON.stringify({ partialSuccess: rejected === 0 ? {} : { rejectedLogRecords: String(rejected), errorMessage: "too odd" } }),
      };
    });
    await using engine = engineAt(place, log);
    await engine.configure([collectorSpec(COLLECTORS.find(({ name }) => name.includes("OTLP")) as Collector, target)]);
    const letters = await waitFor(async () => {
      const found = await readDeadLetters(deliveryDir(place), "sink", 10);
      return found.length === 2 && engine.status()[0]?.lag === 0 && found;
    });
    expect(letters.map(({ event }) => event.id)).toEqual(bad);
  });

  test("Splunk: the event that is named as invalid is given up, the others come again; a wrong index gives up nothing", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    const ids = await append(log, 9);
    const collector = COLLECTORS.find(({ name }) => name.includes("without acknowledgements")) as Collector;
    let misconfigured = 3;
    const taken: string[] = [];
    target.behave((request) => {
      const own = collector.ids(request);
      if (misconfigured-- > 0) return { status: 400, body: '{"text":"Incorrect index","code":7,"invalid-event-number":0}' };
      const at = own.indexOf(ids[4] ?? "");
      if (at !== -1) return { status: 400, body: `{"text":"Invalid data format","code":6,"invalid-event-number":${at}}` };
      taken.push(...own);
      return { status: 200, body: '{"text":"Success","code":0}' };
    });
    await using engine = engineAt(place, log);
    await engine.configure([collectorSpec(collector, target)]);
    await waitFor(() => ids.every((id, at) => at === 4 || taken.includes(id)));
    expect((await readDeadLetters(deliveryDir(place), "sink", 10)).map(({ event }) => event.id)).toEqual([ids[4]]);
    expect(taken.filter((id) => ids.includes(id))).toEqual(ids.filter((_, at) => at !== 4));
  });

  test("Splunk: a batch whose acknowledgement never comes is sent again", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    const collector = COLLECTORS.find(({ name }) => name.includes("with acknowledgements")) as Collector;
    const taken: string[] = [];
    target.behave((request) => {
      if (!request.path.startsWith("/services/collector/ack")) {
        taken.push(...collector.ids(request));
        return { status: 200, body: '{"text":"Success","code":0,"ackId":1}' };
      }
      return { status: 200, body: JSON.stringify({ acks: { "1": taken.filter((id) => id === taken[0]).length > 1 } }) };
    });
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    const open = collectorSpec(collector, target).open;
    await engine.configure([spec("sink", open)]);
    await append(log, 3);
    await waitFor(() => engine.status()[0]?.lag === 0);
    expect(taken.filter((id) => id === taken[0])).toHaveLength(2);
  });
});

describe("a signed webhook over TLS", () => {
  const KEYS = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];

  test("V98: verifies with the standardwebhooks package, under the new secret and the old, and with a constant id over retries", async () => {
    await using place = await logPlace();
    await using target = await receiver({ tls: true });
    const verdicts: unknown[] = [];
    target.behave(({ headers, body }, count) => {
      for (const key of KEYS) verdicts.push(new Webhook(key).verify(body, headers as Record<string, string>));
      expect(() => new Webhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").verify(body, headers as Record<string, string>)).toThrow();
      expect(() => new Webhook(KEYS[0] ?? "").verify(`${body} `, headers as Record<string, string>)).toThrow();
      return count <= 3 ? { status: 503 } : OK;
    });
    await using log = await openAt(place);
    await append(log, 12);
    await using engine = engineAt(place, log);
    await engine.configure([
      webhook("signed", target.url, { keys: KEYS.map(webhookKey), http: { ca: target.ca, connectMs: 2_000, totalMs: 3_000 } }),
    ]);
    await waitFor(() => engine.status()[0]?.lag === 0);
    expect(verdicts).toHaveLength(target.received.length * KEYS.length);
    const tries = target.received.slice(0, 4).map(({ headers }) => headers["webhook-id"]);
    expect(new Set(tries).size).toBe(1);
    expect(target.received[4]?.headers["webhook-id"]).not.toBe(tries[0]);
  });
});

describe("syslog over TLS", () => {
  const open =
    (host: string, port: number, ca: string, maxBytes = 8_192) =>
    () =>
      Promise.resolve(
        new Syslog({ host, port, ca, maxBytes, facility: 13, hostname: "host one", version: "1.2.3", connectMs: 1_000, totalMs: 1_000 }),
      );

  test("frames every event by its length, with its number, and never cuts one", async () => {
    await using place = await logPlace();
    await using target = await syslogReceiver();
    await using log = await openAt(place);
    const ids = await append(log, 25);
    const { id: long } = await log.append(change("long", { reason: "ü".repeat(4_000) }));
    await using engine = engineAt(place, log);
    await engine.configure([spec("sink", open("localhost", target.port, target.ca, 4_096))]);
    const events = (): readonly string[] => target.messages.filter((text) => text.includes(" admin.change "));
    await waitFor(() => ids.every((id) => events().some((text) => text.includes(id))));
    const letters = await waitFor(async () => {
      const found = await readDeadLetters(deliveryDir(place), "sink", 10);
      return found.length > 0 && found;
    });
    expect(letters.map(({ event }) => event.id)).toEqual([long]);
    expect(target.faults).toEqual([]);
    expect(events()[0]).toMatch(
      /^<110>1 \d{4}-\d\d-\d\dT[\d:.]+Z host_one agentkernel \d+ admin\.change \[meta sequenceId="2"\]\[origin software="agentkernel" swVersion="1\.2\.3"\] \ufeff\{/,
    );
    expect(target.messages.some((text) => text.includes(" audit.head ") && /chn_[0-9a-z]{24}/.test(text))).toBe(true);
  });

  test("connects again after a break; what was not written whole comes again", async () => {
    await using place = await logPlace();
    await using target = await syslogReceiver();
    target.resetAfter(0);
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([spec("sink", open("localhost", target.port, target.ca))]);
    await append(log, 5);
    target.resetAfter(undefined);
    // the protocol has no acknowledgement: what went into the broken connection may be lost, what follows is not
    const later = await append(log, 25);
    await waitFor(() => target.messages.some((text) => text.includes(later.at(-1) ?? "?")));
    expect(target.faults).toEqual([]);
  });

  test("a wrong name, a stranger and a silent listener get nothing", async () => {
    await using place = await logPlace();
    await using other = await syslogReceiver("other.example");
    await using stranger = await syslogReceiver();
    const held = new Set<Socket>();
    const silent = createServer((socket) => held.add(socket));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    await using log = await openAt(place);
    const engine = engineAt(place, log);
    await engine.configure([
      spec("other", open("localhost", other.port, other.ca)),
      spec("stranger", open("localhost", stranger.port, other.ca)),
      spec("silent", () =>
        Promise.resolve(
          new Syslog({
            host: "localhost",
            port: (silent.address() as AddressInfo).port,
            maxBytes: 8_192,
            facility: 13,
            hostname: "h",
            version: "1",
            connectMs: 100,
          }),
        ),
      ),
    ]);
    await append(log, 3);
    await waitFor(() => engine.status().every(({ state }) => state === "failing"));
    await engine[Symbol.asyncDispose]();
    for (const socket of held) socket.destroy();
    await new Promise<void>((resolve) => silent.close(() => resolve()));
    expect([...other.messages, ...stranger.messages]).toEqual([]);
  });
});

describe("a file", () => {
  const lines = (text: string): readonly string[] => text.split("\n").filter((line) => line !== "");

  test("V98: is private, has one line for each event, is renamed past its size and found again after it was moved", async () => {
    await using place = await logPlace();
    const path = join(place.path, "deep", "er", "audit.jsonl");
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    await engine.configure([
      spec("file", () => Promise.resolve(new LinesFile({ path, rotateBytes: 4_000, keepsHeads: true, clock: systemClock }))),
    ]);
    const ids = await append(log, 60);
    const { readdir, rename } = await import("node:fs/promises");
    const folder = join(place.path, "deep", "er");
    const all = async (): Promise<readonly string[]> => {
      const names = (await readdir(folder))
        .filter((name) => !name.endsWith(".heads"))
        .sort((a, b) => (a === "audit.jsonl" ? 1 : b === "audit.jsonl" ? -1 : a < b ? -1 : 1));
      return (await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")))).flatMap(lines);
    };
    await waitFor(() => engine.status()[0]?.lag === 0);
    expect((await all()).map((line) => (JSON.parse(line) as { id: string }).id).filter((id) => ids.includes(id))).toEqual(ids);
    expect((await readdir(folder)).length).toBeGreaterThan(3);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(lines(await readFile(`${path}.heads`, "utf8"))[0]).toMatch(/^(chn_[0-9a-z]{24}:\d+:|\{"checkpoint":)/);
    await rename(path, `${path}.moved`);
    const more = await append(log, 1);
    await waitFor(async () => (await readFile(path, "utf8").catch(() => "")).includes(more[0] ?? "?"));
  });

  test("a line that a crash cut is not glued to the next, and a symlink is not followed", async () => {
    await using place = await logPlace();
    const path = join(place.path, "audit.jsonl");
    await writeFile(path, '{"torn');
    await using log = await openAt(place);
    await using engine = engineAt(place, log);
    const { symlink } = await import("node:fs/promises");
    const link = join(place.path, "link.jsonl");
    await symlink("/tmp/agentkernel-must-not-appear", link);
    await engine.configure([
      spec("file", () => Promise.resolve(new LinesFile({ path, rotateBytes: 1e6, keepsHeads: false, clock: systemClock }))),
      spec("link", () => Promise.resolve(new LinesFile({ path: link, rotateBytes: 1e6, keepsHeads: false, clock: systemClock }))),
    ]);
    const ids = await append(log, 3);
    await waitFor(
      () =>
        engine.status().find(({ name }) => name === "file")?.lag === 0 &&
        engine.status().find(({ name }) => name === "link")?.state === "failing",
    );
    const [torn, ...rest] = lines(await readFile(path, "utf8"));
    expect(torn).toBe('{"torn');
    expect(rest.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(expect.arrayContaining([...ids]));
  });
});
