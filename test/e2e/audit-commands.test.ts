import type { ChildProcess } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { validateOcsf } from "../../src/events/ocsf/validate.ts";
import { startCli } from "../support/cli.ts";
import { type Installation, installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { requires } from "../support/requires.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

const run = (place: Installation) => place.run(["run", "--no-workspace", "--", "true"]);

async function said(place: Installation, ...args: readonly string[]): Promise<readonly [number | null, string]> {
  const { code, stdout, stderr } = await place.run(["audit", ...args]);
  return [code, `${stdout.toString()}${stderr.toString()}`];
}

describe("audit", requires("bwrap"), () => {
  it("verify says by its exit code what became of the log, and never makes a key", async () => {
    await using place = await installation();
    expect(await said(place, "verify")).toEqual([0, "intact: 0 events in 0 chains, no anchor\n"]);
    expect((await run(place)).code).toBe(0);
    expect(await said(place, "verify")).toMatchObject([0, expect.stringMatching(/^intact: \d+ events in 1 chain, no anchor\n$/) as string]);
    const [, head] = await said(place, "head");
    const anchors = join(place.home, "anchors");
    writeFileSync(anchors, head);
    expect(await said(place, "verify", "--anchors", anchors)).toMatchObject([0, expect.stringContaining("external") as string]);

    const folder = join(place.home, "events");
    const name = readdirSync(folder, { recursive: true })
      .map(String)
      .find((path) => path.endsWith("0001.jsonl"));
    const segment = join(folder, name ?? "");
    const original = readFileSync(segment);
    const changed = Buffer.from(original);
    changed[200] = (changed[200] ?? 0) ^ 1;
    writeFileSync(segment, changed);
    expect(await said(place, "verify")).toMatchObject([1, expect.stringContaining("tampered") as string]);
    const lines = original.toString().trimEnd().split("\n");
    writeFileSync(segment, `${lines.slice(0, -1).join("\n")}\n`);
    const checkpoints = join(segment, "..", "checkpoints.jsonl");
    const signed = readFileSync(checkpoints);
    writeFileSync(checkpoints, "");
    expect(await said(place, "verify", "--anchors", anchors)).toMatchObject([2, expect.stringContaining("truncated") as string]);
    writeFileSync(segment, original);
    writeFileSync(checkpoints, signed);

    const key = join(place.home, "config", "agentkernel", "audit.key");
    renameSync(key, join(place.home, "old.key"));
    expect(await said(place, "verify")).toMatchObject([4, expect.stringContaining("put it back") as string]);
    expect(readdirSync(join(place.home, "config", "agentkernel"))).not.toContain("audit.key");
    expect(await said(place, "verify", "--from", "x")).toMatchObject([125, expect.stringContaining("chain:number") as string]);
    expect(await said(place, "verify", "--key", join(place.home, "none"))).toMatchObject([
      125,
      expect.stringContaining("cannot be read") as string,
    ]);
  });

  it("verify says one fault once, for however many chains", async () => {
    await using place = await installation();
    for (const _ of [1, 2]) expect((await run(place)).code).toBe(0);
    const other = join(place.home, "other.pub");
    writeFileSync(other, generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }));
    const { code, stdout, stderr } = await place.run(["audit", "verify", "--key", other]);
    expect(code).toBe(1);
    expect(stdout.toString()).toMatch(
      /^tampered: \d+ events in 2 chains, no anchor\n  chn_\w+ and 1 more chain: tampered: [^\n]*not a trusted key[^\n]*\n$/,
    );
    expect(stderr).toMatch(/^hint: keep a copy of .*events before anything else: cp -a; docs\/guides\/audit-log\.md says what to do\n$/);
  });

  it("verify takes the keys of before and after a change", async () => {
    await using place = await installation();
    expect((await run(place)).code).toBe(0);
    const key = join(place.home, "config", "agentkernel", "audit.key");
    // what `openssl pkey -pubout` prints
    const publicOf = (): string => createPublicKey(readFileSync(key)).export({ type: "spki", format: "pem" }).toString();
    const trusted = publicOf();
    renameSync(key, join(place.home, "old.key"));
    expect((await run(place)).code).toBe(0);
    expect(await said(place, "verify")).toMatchObject([1, expect.stringContaining("an earlier one is named with --key") as string]);
    const file = join(place.home, "trusted.pem");
    writeFileSync(file, `${trusted}${publicOf()}`);
    expect(await said(place, "verify", "--key", file)).toMatchObject([0, expect.stringMatching(/^intact/) as string]);
    const stranger = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }).toString();
    writeFileSync(file, `${stranger}${publicOf()}`);
    expect(await said(place, "verify", "--key", file)).toMatchObject([1, expect.stringContaining("tampered") as string]);
  });

  it("tail shows the kinds that are asked for, and names those that there are", async () => {
    await using place = await installation();
    expect((await run(place)).code).toBe(0);
    const [code, lines] = await said(place, "tail", "-n", "100", "--json", "--type", "sandbox.exec,audit.log");
    expect(code).toBe(0);
    const types = lines
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { readonly type: string }).type);
    expect([...new Set(types)].toSorted()).toEqual(["audit.log", "sandbox.exec"]);
    expect(await said(place, "tail", "--type", "nonsense")).toMatchObject([125, expect.stringContaining("security.finding") as string]);
  });

  it("exports the events as they stand in the log, as native records, and as OCSF", async () => {
    await using place = await installation();
    expect((await run(place)).code).toBe(0);
    const exported = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
      const { code, stdout, stderr } = await place.run(["audit", "export", ...args]);
      expect([code, stderr]).toEqual([0, ""]);
      return stdout
        .toString()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    };
    const events = await exported();
    expect(events[0]).toMatchObject({ type: "audit.log", operation: "start" });
    const native = await exported("--format", "native");
    expect(native.slice(0, 4).map(({ uid }) => uid)).toEqual(events.slice(0, 4).map(({ id }) => id));
    const ocsf = await exported("--format", "ocsf", "--ocsf-version", "1.6.0");
    expect(ocsf.length).toBeGreaterThanOrEqual(events.length);
    for (const event of ocsf) expect(validateOcsf(event, "1.6.0").filter(({ level }) => level === "error")).toEqual([]);
    expect(ocsf[1]).toMatchObject({ metadata: { version: "1.6.0", uid: events[1]?.["id"], sequence: 2 } });
    expect(await said(place, "export", "--format", "cef")).toEqual([
      125,
      "error[VALIDATION]: --format cef: unknown\nhint: one of event, native, ocsf\n",
    ]);
    expect((await said(place, "tail", "--type", "audit.log"))[1]).toContain("audit log export: everything, as OCSF 1.6.0");
  });

  it("ends when nobody reads it any more, and not with an error", async () => {
    await using place = await installation();
    expect((await run(place)).code).toBe(0);
    const exported = startCli(["audit", "export"], { home: place.home });
    exported.stdout?.destroy();
    expect(await ended(exported)).toEqual([0, ""]);

    const followed = startCli(["audit", "tail", "-f", "-n", "1"], { home: place.home });
    if (followed.stdout === null) throw new Error("no stdout");
    await once(followed.stdout, "data");
    followed.stdout.destroy();
    const end = ended(followed);
    // it finds out when there is something to write
    expect((await run(place)).code).toBe(0);
    expect(await end).toEqual([0, ""]);
  });
});

async function ended(child: ChildProcess): Promise<readonly [number | null, string]> {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return [code, said];
}
