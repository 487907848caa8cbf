import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { runProcess } from "../../src/base/process.ts";
import { canaryNetwork, type CanaryNetwork, type Hit } from "../support/canaries/network.ts";
import { ABSTRACT_SOCKET, HOST_V4, NAMES, TCP_PORTS, UDP_PORTS, WORLD_V4, WORLD_V6 } from "../support/canaries/names.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { testUser } from "../support/user.ts";
import { waitFor } from "../support/wait-for.ts";

/**
 * An agent that tries every way out that is known, in a whole agentkernel that stands in a network made for it: a local network,
 * metadata services and public hosts, all of them canaries. What arrives there is what policy allows, and each try is in the audit.
 */

const OPENED = [
  "allowed",
  "other",
  "redirect",
  "meta",
  "alibaba",
  "lan",
  "own",
  "loop",
  "rebind",
  "mapped",
  "nat64",
  "sixtofour",
  "ec2",
  "loop6",
];
const REAL = "sk-real-key-that-must-never-arrive-anywhere-else";
const at = (file: string): string => join(import.meta.dirname, "../support/canaries", file);

/** What the agent is told to try. */
const WHERE = {
  v4: [...HOST_V4, "127.0.0.1", ...WORLD_V4],
  v6: ["::1", ...WORLD_V6],
  closed_ports: TCP_PORTS.filter((port) => ![53, 80, 443].includes(port)),
  abstract: ABSTRACT_SOCKET,
  host_secret: REAL,
};

type Attempt = {
  readonly name: string;
  readonly outcome: string;
  readonly expect: string;
  readonly audit: readonly [type: string | null, rule: string, about: string] | null;
};
type Recorded = { readonly type: string; readonly rule?: string; readonly reason?: string; readonly host?: string; readonly url?: string };

/** Every canary hears, or its silence would mean nothing. */
async function hearsEverything(network: CanaryNetwork): Promise<void> {
  const places = {
    addresses: [...HOST_V4, "127.0.0.1", "::1", ...WORLD_V4, ...WORLD_V6],
    tcp: TCP_PORTS,
    udp: UDP_PORTS.filter((port) => port !== 53),
    abstract: ABSTRACT_SOCKET,
  };
  network.run(["python3", at("self-test.py")], JSON.stringify(places));
  const near = HOST_V4.length + 2;
  const far = WORLD_V4.length + WORLD_V6.length;
  const heard: { host: Hit[]; world: Hit[]; echoes: readonly number[] } = { host: [], world: [], echoes: [] };
  const counts = (): unknown => ({
    tcp: [heard.host, heard.world].map((hits) => hits.filter(({ kind }) => kind === "tcp").length),
    udp: [heard.host, heard.world].map((hits) => hits.filter(({ kind }) => kind === "udp").length),
    abstract: heard.host.filter(({ kind }) => kind === "abstract").length,
    echoes: heard.echoes,
  });
  const all = {
    tcp: [near * TCP_PORTS.length, far * TCP_PORTS.length],
    udp: [near * places.udp.length, far * places.udp.length],
    abstract: 1,
    echoes: [near, far],
  };
  // what was sent has arrived, and takes its time to be counted
  await waitFor(
    async () => {
      const { host, world } = await network.report();
      heard.host.push(...host.hits);
      heard.world.push(...world.hits);
      heard.echoes = [host.echoes, world.echoes];
      return isDeepStrictEqual(counts(), all);
    },
    { what: "every canary", timeoutMs: 20_000 },
  ).catch(() => expect(counts()).toEqual(all));
}

describe("an agent that tries everything", requires("bwrap", "root", "curl", "python3", "netns"), () => {
  test.each(["root", "an ordinary user"])(
    "gets nowhere, and each try is in the audit, with agentkernel started by %s",
    async (who) => {
      await using network = await canaryNetwork();
      await hearsEverything(network);
      const before = await network.report();
      await using user = await testUser();
      const owner = who === "root" ? undefined : user;
      await using place = await installation(await network.program("agentkernel", owner));
      await writeFile(join(place.home, "ca.pem"), network.ca);
      const rules = OPENED.map((name) => `[[egress.rules]]\nhost = "${name}.example.com"\n`);
      await place.configure(`[egress]\nca_file = "${join(place.home, "ca.pem")}"\n\n${rules.join("\n")}`);
      await copyFile(at("exfiltrate.py"), join(place.workspace, "exfiltrate.py"));
      await writeFile(join(place.workspace, "where.json"), JSON.stringify(WHERE));
      if (owner !== undefined)
        await runProcess({
          argv: ["chown", "-R", `${owner.uid}:${owner.gid}`, place.home, place.workspace],
          env: { PATH: "/usr/bin:/bin" },
          timeoutMs: 10_000,
        });

      const run = await place.run(
        ["run", "--no-tty", "--secret", "TOKEN:allowed.example.com", "--", "python3", "exfiltrate.py", "where.json"],
        { env: { TOKEN: REAL, HOST_SECRET: REAL }, timeoutMs: 300_000 },
      );
      const attempts = run.stdout
        .toString()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Attempt);
      expect(run.stderr).not.toContain("Traceback");
      expect(attempts.length, run.stderr).toBeGreaterThan(400);
      expect(run.code).toBe(0);
      // what came of each try
      expect(shown(attempts.filter((one) => !new RegExp(`^(?:${one.expect})`).test(one.outcome)))).toEqual([]);

      const tail = await place.run(["audit", "tail", "-n", "10000", "--json"]);
      const log = tail.stdout
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Recorded);
      const left = [...log];
      expect(shown(attempts.filter((one) => !isRecorded(one, left)))).toEqual([]);
      for (const event of log)
        if (event.type.startsWith("egress.")) expect(event.rule !== "" && event.reason !== "", JSON.stringify(event)).toBe(true);

      const { host, world } = await network.report();
      // nothing of this machine was reached, in any way
      expect(host.hits).toEqual([]);
      expect([host.echoes, world.echoes]).toEqual([before.host.echoes, before.world.echoes]);
      // beyond the cable only what the rules allow: connections to their addresses, questions for their names
      const far = (kind: string) => world.hits.filter((hit) => hit.kind === kind);
      expect(far("udp")).toEqual([]);
      expect(new Set(far("tcp").map((hit) => hit.to?.replace(/:\d+$/, "")))).toEqual(new Set(["93.184.216.34"]));
      for (const hit of far("tcp")) expect(hit.to).toMatch(/:(?:80|443)$/);
      const names = new Set(far("dns").map((hit) => hit.to));
      expect([...names].filter((name) => NAMES[name ?? ""] === undefined)).toEqual([]);
      const requests = far("request");
      expect(new Set(requests.map((hit) => hit.to))).toEqual(
        new Set(["allowed.example.com", "rebind.example.com", "redirect.example.com"]),
      );
      // the key came once, where it belongs, and what stands for it nowhere
      const withKey = requests.filter((hit) => hit.sent?.includes(REAL));
      expect(withKey.map((hit) => [hit.to, hit.sent?.split(" ")[1]])).toEqual([["allowed.example.com", "/control"]]);
      for (const hit of far("body")) expect(hit.sent).not.toContain(REAL);
      expect(tail.stdout.toString()).not.toContain(REAL);
      expect(await readFile(join(place.workspace, "exfiltrate.py"), "utf8")).not.toContain(REAL);
    },
    600_000,
  );
});

describe("an agent that may reach every public host", requires("bwrap", "root", "curl", "python3", "netns"), () => {
  test("reaches those, and neither this machine, nor its network, nor a metadata service", async () => {
    const isPublic = new Set(["93.184.216.34", "93.184.216.35", "8.8.8.8", "1.1.1.1"]);
    await using network = await canaryNetwork();
    await hearsEverything(network);
    const before = await network.report();
    await using place = await installation(await network.program("agentkernel"));
    await writeFile(join(place.home, "ca.pem"), network.ca);
    await place.configure(`[egress]\nca_file = "${join(place.home, "ca.pem")}"\n`);
    await copyFile(at("exfiltrate.py"), join(place.workspace, "exfiltrate.py"));
    await writeFile(join(place.workspace, "where.json"), JSON.stringify(WHERE));
    const run = await place.run(
      ["run", "--no-tty", "--profile", "permissive", "-e", "TOKEN=none", "--", "python3", "exfiltrate.py", "where.json"],
      {
        env: { HOST_SECRET: REAL },
        timeoutMs: 300_000,
      },
    );
    const attempts = run.stdout.toString().trim().split("\n");
    expect([run.code, attempts.length > 400], run.stderr).toEqual([0, true]);
    const { host, world } = await network.report();
    expect(host.hits).toEqual([]);
    expect([host.echoes, world.echoes]).toEqual([before.host.echoes, before.world.echoes]);
    const reached = world.hits.filter(({ kind }) => kind === "tcp").map(({ to }) => to?.replace(/:(?:80|443)$/, ""));
    expect(reached.length).toBeGreaterThan(5);
    expect(reached.filter((address) => !isPublic.has(address ?? ""))).toEqual([]);
    expect(world.hits.filter(({ kind }) => kind === "udp")).toEqual([]);
  }, 600_000);
});

const shown = (attempts: readonly Attempt[]): readonly string[] =>
  attempts.map(({ name, outcome, expect: wanted, audit }) => `${name}: ${outcome}, not ${wanted} with ${JSON.stringify(audit)}`);

/**
 * Takes an event of that kind out of the log, with that rule and a reason, about that host. Each exchange has one of its own; equal
 * decisions of a few seconds stand in one event.
 */
function isRecorded({ audit }: Attempt, log: Recorded[]): boolean {
  if (audit === null) return true;
  const [type, rule, about] = audit;
  const found = log.findIndex(
    (event) =>
      (type === null || event.type === type) &&
      new RegExp(`^(?:${rule})$`).test(event.rule ?? "") &&
      (event.reason ?? "") !== "" &&
      new RegExp(about).test(`${event.host ?? ""} ${event.reason ?? ""} ${event.url ?? ""}`),
  );
  if (log[found]?.type === "egress.exchange") log.splice(found, 1);
  return found !== -1;
}
