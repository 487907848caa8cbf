import { mkdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { foreignSinks } from "../../src/events/delivery/sink-owner.ts";
import { readLagging } from "../../src/events/delivery/undelivered.ts";
import { tailEvents } from "../../src/events/tail.ts";
import { ProcessLock } from "../../src/store/process-lock.ts";
import { startCli } from "../support/cli.ts";
import { deliveryDir, engineAt, webhook } from "../support/delivery.ts";
import { change, idsIn, logPlace, openAt } from "../support/event-log.ts";
import { installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { arrivedIds, receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

const locksIn = (path: string) => (sink: string) => ProcessLock.take(join(path, `${sink}.lock`));

describe("several processes with several configurations", () => {
  test("share the sinks that they have in common, and each delivers all chains to those that it has alone", async () => {
    await using place = await logPlace();
    await using common = await receiver();
    await using mine = await receiver();
    await using theirs = await receiver();
    await using log = await openAt(place);
    await using other = await openAt(place);
    const options = { takeLead: locksIn(place.path) };
    const first = engineAt(place, log, options);
    await using second = engineAt(place, other, options);
    await first.configure([webhook("common", common.url), webhook("mine", mine.url)]);
    await second.configure([webhook("common", common.url), webhook("theirs", theirs.url)]);
    expect(["common", "mine", "theirs"].map((sink) => [first.leads(sink), second.leads(sink)])).toEqual([
      [true, false],
      [true, false],
      [false, true],
    ]);
    for (let at = 0; at < 20; at += 1) await Promise.all([log.append(change(`a${at}`)), other.append(change(`b${at}`))]);
    const all = [...(await idsIn(place.dir))].sort();
    for (const target of [common, mine, theirs])
      await waitFor(
        () => arrivedIds(target.received).length >= all.length && [...arrivedIds(target.received)].sort().join() === all.join(),
      );
    await first[Symbol.asyncDispose]();
    await waitFor(() => second.leads("common"));
    const { id } = await log.append(change("after"));
    await waitFor(() => arrivedIds(common.received).includes(id) && arrivedIds(theirs.received).includes(id));
    // one position for a sink, whoever delivers: nothing came twice
    expect(new Set(arrivedIds(common.received)).size).toBe(arrivedIds(common.received).length);
    expect(arrivedIds(mine.received)).not.toContain(id);
  });

  test("a sink whose folder or lock is out of order is tried again, and costs the others nothing", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using log = await openAt(place);
    let isLocked = true;
    await mkdir(deliveryDir(place));
    await writeFile(join(deliveryDir(place), "first"), "a file in the place of the folder");
    const engine = engineAt(place, log, {
      takeLead: (sink) => {
        if (sink === "second" && isLocked) throw new Error("no space left on the device");
        return { [Symbol.dispose]: () => undefined };
      },
    });
    await using _engine = engine;
    const owner = { config: place.path, place: target.url };
    await engine.configure([webhook("first", target.url, { owner }), webhook("second", target.url), webhook("third", target.url)]);
    await waitFor(() => arrivedIds(target.received).length === 1);
    expect(engine.status()).toMatchObject([
      { state: "stopped", lastError: expect.stringMatching(/ENOTDIR|EEXIST/) },
      { state: "stopped", lastError: "no space left on the device" },
      { state: "delivering" },
    ]);
    isLocked = false;
    await rm(join(deliveryDir(place), "first"));
    await waitFor(() => arrivedIds(target.received).length === 3);
    expect(engine.status().map(({ state }) => state)).toEqual(["delivering", "delivering", "delivering"]);
  });

  test("one name for two places is refused to the second, which says whose it is; a place that moved is not", async () => {
    await using place = await logPlace();
    await using target = await receiver();
    await using moved = await receiver();
    await using log = await openAt(place);
    const config = async (name: string): Promise<string> => {
      const path = join(place.path, name);
      await writeFile(path, "");
      return path;
    };
    const [a, b] = [await config("a.toml"), await config("b.toml")];
    const sink = (url: string, owner: string) => webhook("siem", url, { owner: { config: owner, place: url } });
    const first = engineAt(place, log);
    await first.configure([sink(target.url, a)]);
    await waitFor(() => arrivedIds(target.received).length === 1);
    await first[Symbol.asyncDispose]();

    const second = engineAt(place, log);
    await second.configure([sink(moved.url, b), webhook("own", moved.url)]);
    await waitFor(() => arrivedIds(moved.received).length === 1);
    expect(second.status()).toMatchObject([
      { name: "siem", state: "stopped", lastError: `${a} uses the name siem for another destination: give it another name in ${b}` },
      { name: "own", state: "delivering" },
    ]);
    // the same place in another file is the same sink
    await second.configure([sink(target.url, b)]);
    const { id } = await log.append(change("x"));
    await waitFor(() => arrivedIds(target.received).includes(id));
    // and whoever moves it in the file goes on where it was
    await second.configure([sink(moved.url, b)]);
    const next = await log.append(change("y"));
    await waitFor(() => arrivedIds(moved.received).includes(next.id));
    expect(arrivedIds(moved.received)).not.toContain(id);
    await second[Symbol.asyncDispose]();
    expect((await tailEvents({ dir: place.dir, last: 100, types: ["security.finding"] })).length).toBe(0);
  });

  test("retention asks for sinks of other configurations too, as long as they were used lately", async () => {
    await using place = await logPlace();
    await using log = await openAt(place);
    const [a, b] = [join(place.path, "a.toml"), join(place.path, "b.toml")];
    await writeFile(a, "");
    await writeFile(b, "");
    await using engine = engineAt(place, log);
    await engine.configure([
      webhook("dead", "http://127.0.0.1:1/", { owner: { config: a, place: "x" } }),
      webhook("gone", "http://127.0.0.1:1/", { owner: { config: join(place.path, "removed.toml"), place: "y" } }),
    ]);
    const dir = deliveryDir(place);
    await waitFor(() => engine.status().every(({ retries }) => retries > 0));
    expect(await foreignSinks(dir, b, Date.now())).toEqual(["dead"]);
    expect(await foreignSinks(dir, a, Date.now())).toEqual([]);
    const { chain, seq } = log.head();
    expect((await readLagging(dir, ["dead"]))(chain, seq)).toEqual([{ sink: "dead", fromSeq: 1 }]);
    const old = new Date(Date.now() - 25 * 60 * 60_000);
    await utimes(join(dir, "dead", "owner.json"), old, old);
    expect(await foreignSinks(dir, b, Date.now())).toEqual([]);
  });
});

describe("run beside run", requires("bwrap"), () => {
  test("with another --config both deliver to their own streams, all that is in the log", async () => {
    await using place = await installation();
    await using mine = await receiver();
    await using theirs = await receiver();
    const config = async (name: string, url: string): Promise<string> => {
      const path = join(place.home, name);
      const stream = `destination = { type = "http_webhook", url = "${url}" }\nocsf_enabled = false\nflush_interval_secs = 0\n`;
      await writeFile(path, `[[audit.streams]]\n${stream}`);
      return path;
    };
    const [a, b] = [await config("a.toml", mine.url), await config("b.toml", theirs.url)];
    const child = startCli(["--config", a, "run", "--no-workspace", "--", "sh", "-c", "echo ready; cat > /dev/null"], {
      home: place.home,
      cwd: place.workspace,
    });
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    await waitFor(() => output.includes("ready") && mine.received.length > 0, { what: "the first run to deliver", timeoutMs: 20_000 });
    expect((await place.run(["--config", b, "run", "--no-workspace", "--", "true"])).code).toBe(0);
    const namesOf = (received: typeof theirs.received): string =>
      received.flatMap(({ body }) => (JSON.parse(body) as readonly { readonly action: string }[]).map(({ action }) => action)).join(" ");
    // its own chain whole, and what there was of the other
    expect(namesOf(theirs.received).match(/sandbox\.remove/g)).toHaveLength(1);
    expect(namesOf(theirs.received).match(/sandbox\.create/g)).toHaveLength(2);
    child.stdin?.end();
    expect(await ended).toBe(0);
    await waitFor(() => namesOf(mine.received).match(/sandbox\.remove/g)?.length === 2, { what: "both chains to be delivered" });
  });
});
