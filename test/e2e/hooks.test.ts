import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { afterAll, describe, expect, it } from "vitest";
import { createStandIn } from "../../src/demo/stand-in.ts";
import { startCli } from "../support/cli.ts";
import { type Installation, installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { type Received, type Receiver, receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

const SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const MODELS = "https://api.openai.com/v1/models";

type Body = Readonly<Record<string, unknown>>;
const bodies = (received: readonly Received[]): readonly Body[] => received.map(({ body }) => JSON.parse(body) as Body);

type Api = (
  method: string,
  path: string,
  body?: object,
) => Promise<{ readonly status: number; readonly data: never; readonly error?: string; readonly code?: string }>;

/** A server with an API, for as long as `use` takes. */
async function serving(place: Installation, use: (api: Api) => Promise<void>): Promise<void> {
  const server = startCli(["serve", "--port", "0"], { home: place.home });
  let output = "";
  server.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise((resolve) => server.once("exit", resolve));
  try {
    const url = await waitFor(() => /listening on (\S+)/.exec(output)?.[1], { timeoutMs: 20_000 });
    await use(async (method, path, body) => {
      const response = await fetch(`${url}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      return { status: response.status, ...((await response.json()) as { data: never }) };
    });
  } finally {
    server.kill("SIGTERM");
    await ended;
  }
}

async function upstream(place: Installation): Promise<{ readonly toml: string } & AsyncDisposable> {
  const standIn = await createStandIn();
  const ca = join(place.home, "ca.pem");
  writeFileSync(ca, standIn.caPem);
  return {
    toml: `[[egress.upstreams]]\nhost = "api.openai.com"\nurl = "${standIn.origin}"\nca_file = "${ca}"\n`,
    [Symbol.asyncDispose]: () => standIn.close(),
  };
}

const curl = (place: Installation, ...urls: readonly string[]) =>
  place.run([
    "run",
    "--no-workspace",
    "--allow",
    "api.openai.com",
    "--",
    "sh",
    "-c",
    urls
      .map((url) => `curl -sS -o /dev/null -w '%{http_code}\\n' -H 'authorization: Bearer sk-aaaaaaaaaaaaaaaaaaaaaaaa' '${url}'`)
      .join("; "),
  ]);

const CHAT = `curl -sS -o /dev/null https://api.openai.com/v1/chat/completions -H 'authorization: Bearer k' -H 'content-type: application/json' -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'`;

function hookToml(name: string, event: string, target: Receiver, more = ""): string {
  return `[[proxy.hooks]]\nname = "${name}"\nevent = "${event}"\ntarget = { type = "webhook", url = "${target.url}" }\n${more}\n`;
}

describe("hooks", requires("bwrap", "curl"), () => {
  it("of the configuration see each request of a run: before it, after it, denied, and by the model call; without credentials", async () => {
    await using place = await installation();
    await using api = await upstream(place);
    await using all = await receivers(4);
    const [before, after, denied, llm] = all;
    await place.configure(
      [
        api.toml,
        hookToml("before", "on_request", before),
        hookToml("after", "on_response", after, `secret = "${SECRET}"`),
        hookToml("denied", "on_deny", denied),
        hookToml("llm", "on_llm", llm, 'filter = { provider = "openai", model = "gpt-4o*" }'),
        '[[proxy.hooks]]\nname = "file"\nevent = "on_response"\ntarget = { type = "file", path = "all.jsonl" }\nfilter = { status = "2xx" }\n',
        '[[proxy.hooks]]\nname = "noted"\nevent = "on_deny"\ntarget = { type = "audit" }\n',
      ].join("\n"),
    );
    const ran = await place.run([
      "run",
      "--no-workspace",
      "--allow",
      "api.openai.com",
      "--",
      "sh",
      "-c",
      `curl -sS -o /dev/null '${MODELS}?api_key=secret123'; curl -sS -o /dev/null -w '%{http_code}' https://api.openai.com:443/../etc https://evil.example/; ${CHAT}`,
    ]);
    expect(ran.stderr.toString()).not.toContain("agentkernel");

    const first = bodies(before.received).filter(({ host }) => host === "api.openai.com");
    expect(first[0]).toMatchObject({
      type: "egress.decision",
      phase: "request",
      method: "GET",
      url: `${MODELS}?api_key=[redacted]`,
      decision: "allow",
    });
    const ended = bodies(after.received).filter(({ host, decision }) => host === "api.openai.com" && decision === "allow");
    expect(ended[0]).toMatchObject({
      type: "egress.exchange",
      method: "GET",
      url: `${MODELS}?api_key=[redacted]`,
      status: 200,
      decision: "allow",
      sandbox: expect.any(String) as string,
    });
    for (const key of [
      "id",
      "timestamp",
      "rule",
      "reason",
      "bytes_in",
      "bytes_out",
      "latency_ms",
      "secret_injected",
      "schema_version",
      "sequence",
    ])
      expect(ended[0]).toHaveProperty(key);
    // the model call: the exchange first, then what it used
    expect(ended.slice(-2).map(({ type }) => type)).toEqual(["egress.exchange", "llm.call"]);
    expect(ended.at(-1)).toMatchObject({ provider: "openai", model: "gpt-4o-mini" });
    expect(bodies(llm.received)).toHaveLength(1);
    expect(bodies(llm.received)[0]).toMatchObject({ type: "llm.call", id: ended.at(-1)?.["id"] });
    expect(bodies(denied.received).every(({ decision }) => decision === "deny")).toBe(true);
    expect(denied.received.length).toBeGreaterThan(0);

    const { headers, body } = after.received[0] as Received;
    expect(headers["user-agent"]).toMatch(/^agentkernel-hooks\/\d/);
    expect(headers["webhook-id"]).toBe((JSON.parse(body) as Body)["id"]);
    expect(() => new Webhook(SECRET).verify(body, headers as Record<string, string>)).not.toThrow();
    const everything = [...before.received, ...after.received, ...denied.received, ...llm.received].map((one) => one.body).join();
    for (const secret of ["secret123", "Bearer k"]) expect(everything).not.toContain(secret);

    const file = join(place.home, "hooks", "all.jsonl");
    await waitFor(() => existsSync(file));
    expect(
      readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as Body)["status"]),
    ).toEqual(expect.arrayContaining([200]));
    const noted = (await place.run(["audit", "tail", "-n", "500", "--json"])).stdout.toString();
    expect(noted).toContain('"rule":"hook:noted"');
  });

  it("over the API hold for sandboxes that run already, are checked, listed without secrets, tested and removed", async () => {
    await using place = await installation();
    await using api = await upstream(place);
    await using target = await receiver();
    const toml = (more: string): string => `${api.toml}[proxy]\n${more}\n${hookToml("of-the-file", "on_deny", target)}`;
    await place.configure(toml(""));
    await serving(place, async (call) => {
      const hook = { name: "all", event: "on_response", target: { type: "webhook", url: target.url }, secret: SECRET };
      const refused = await call("POST", "/proxy/hooks", hook);
      expect([refused.status, refused.code, refused.error]).toMatchObject([
        400,
        "VALIDATION",
        expect.stringContaining("target.url") as string,
      ]);
      for (const [bad, key] of [
        [{ ...hook, target: { type: "webhook", url: "gopher://x" } }, "url"],
        [{ ...hook, filter: { status: "2" } }, "filter"],
        [{ ...hook, filter: { nothing: "x" } }, "nothing"],
        [{ ...hook, event: "on_everything" }, "event"],
        [{ ...hook, include_body: "1MiB" }, "include_body"],
        [{ ...hook, secret: "short", target: { type: "webhook", url: "https://93.184.215.14/x" } }, "secret"],
        [{ ...hook, secret: { command: ["id"] }, target: { type: "webhook", url: "https://93.184.215.14/x" } }, "secret"],
        [{ ...hook, secret: undefined, target: { type: "file", path: "/etc/cron.d/x" } }, "target.path"],
        [{ ...hook, secret: undefined, target: { type: "file", path: "../../x" } }, "target.path"],
      ] as const) {
        const answer = await call("POST", "/proxy/hooks", bad);
        expect([answer.status, answer.error], JSON.stringify(bad)).toMatchObject([400, expect.stringContaining(key) as string]);
      }
      const taken = await call("POST", "/proxy/hooks", { ...hook, name: "of-the-file", target: { type: "audit" }, secret: undefined });
      expect([taken.status, taken.error]).toMatchObject([409, expect.stringContaining("agentkernel.toml") as string]);
      expect((await call("DELETE", "/proxy/hooks/of-the-file")).status).toBe(409);
      expect((await call("DELETE", "/proxy/hooks/nothing")).status).toBe(404);
    });

    await place.configure(toml("unsafe_allow_private = true"));
    await serving(place, async (call) => {
      const made = await call("POST", "/sandboxes", { name: "box", workspace: null, allow: ["api.openai.com"] });
      expect(made.status).toBe(201);
      const curlInside = () => call("POST", "/sandboxes/box/exec", { command: ["curl", "-sS", "-o", "/dev/null", MODELS] });
      await curlInside();
      const hook = { name: "all", event: "on_response", target: { type: "webhook", url: target.url }, secret: SECRET };
      expect((await call("POST", "/proxy/hooks", hook)).status).toBe(200);
      const before = target.received.length;
      await curlInside();
      await waitFor(() => target.received.length > before, { what: "the exchange after the registration" });
      // nothing from before it was registered
      expect(target.received.length).toBe(before + 1);
      const listed = (await call("GET", "/proxy/hooks")).data as readonly Body[];
      expect(listed.map(({ name, file }) => [name, typeof file])).toEqual([
        ["of-the-file", "string"],
        ["all", "object"],
      ]);
      expect(JSON.stringify(listed)).not.toContain(SECRET.slice(6));
      expect(listed[1]).toMatchObject({ secret: { vault: "hook.all.secret" }, status: { state: "delivering", dead_letters: 0 } });

      expect((await call("POST", "/proxy/hooks/all/test", {})).data).toMatchObject({ delivered: true, answer: "delivered" });
      new Webhook(SECRET).verify(target.received.at(-1)?.body ?? "", target.received.at(-1)?.headers as Record<string, string>);
      target.behave(() => ({ status: 422, body: "no thanks" }));
      expect((await call("POST", "/proxy/hooks/all/test", {})).data).toMatchObject({ delivered: false, answer: "HTTP 422: no thanks" });
      await curlInside();
      const letters = await waitFor(async () => {
        const { dead_letters } = (await call("GET", "/proxy/hooks/all/deliveries")).data as { dead_letters: readonly Body[] };
        return dead_letters.length > 0 && dead_letters;
      });
      expect(letters[0]).toMatchObject({ reason: "HTTP 422: no thanks", event: { type: "egress.exchange" } });
      target.behave(() => ({ status: 200 }));
      const count = target.received.length;
      expect((await place.run(["hooks", "replay", "all", "--dead"])).code).toBe(0);
      await waitFor(() => target.received.length > count, { what: "the dead letter" });
      const shown = await place.run(["hooks", "ls"]);
      expect(shown.stdout.toString()).toMatch(/all\s+on_response\s+http/);
      expect((await call("DELETE", "/proxy/hooks/all")).status).toBe(200);
      const after = target.received.length;
      await curlInside();
      expect(((await call("GET", "/proxy/hooks")).data as readonly Body[]).map(({ name }) => name)).toEqual(["of-the-file"]);
      expect(target.received.length).toBe(after);
      expect(existsSync(join(place.home, "delivery", "hook@all"))).toBe(false);
    });
  });

  it("that decide let nothing out that they deny, do not answer in time, or answer with nonsense", { timeout: 120_000 }, async () => {
    await using place = await installation();
    await using api = await upstream(place);
    await using judge = await receiver();
    await place.configure(`${api.toml}${hookToml("judge", "on_request", judge, 'mode = "decide"\ntimeout_ms = 2_000')}`);
    const verdictOf = async (): Promise<{ readonly status: string; readonly rule: unknown; readonly reason: unknown }> => {
      const ran = await curl(place, MODELS);
      const events = (await place.run(["policy", "log", "-n", "5", "--json"])).stdout
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Body);
      const { rule, reason } = events.filter(({ type }) => type === "egress.exchange").at(-1) ?? {};
      return { status: ran.stdout.toString().trim(), rule, reason };
    };
    judge.behave(() => ({ status: 200, body: '{"verdict":"allow"}' }));
    expect(await verdictOf()).toMatchObject({ status: "200" });
    const asked = JSON.parse(judge.received[0]?.body ?? "{}") as Body;
    expect(asked).toMatchObject({ type: "egress.request", method: "GET", url: MODELS, host: "api.openai.com" });
    expect(JSON.stringify(asked)).not.toContain("sk-aaaa");
    judge.behave(() => ({ status: 200, body: '{"verdict":"deny","reason":"not on a Sunday"}' }));
    expect(await verdictOf()).toEqual({ status: "403", rule: "hook:judge", reason: "The hook judge denies this: not on a Sunday" });
    for (const behaviour of [
      "hang",
      "reset",
      { status: 500 },
      { status: 200, body: "perhaps" },
      { status: 200, body: '{"verdict":"maybe"}' },
      { status: 302, headers: { location: MODELS } },
    ] as const) {
      judge.behave(() => behaviour);
      expect(await verdictOf(), JSON.stringify(behaviour)).toMatchObject({ status: "403", rule: "hook:judge" });
    }
  });
});

type Four = readonly [Receiver, Receiver, Receiver, Receiver] & AsyncDisposable;

async function receivers(count: number): Promise<Four> {
  const all = await Promise.all(Array.from({ length: count }, () => receiver()));
  return Object.assign(all, {
    [Symbol.asyncDispose]: async () => {
      for (const one of all) await one[Symbol.asyncDispose]();
    },
  }) as unknown as Four;
}
