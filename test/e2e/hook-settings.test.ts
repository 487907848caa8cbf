import { existsSync, readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { type TestUpstream, testUpstream } from "../support/gateway/upstream.ts";
import type { Installation } from "../support/installation.ts";
import { type Receiver, receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";
import { type Served, served, upstreamsTo } from "../support/served.ts";
import { waitFor } from "../support/wait-for.ts";

/** `[[proxy.hooks]]`, from the file to what its target gets, or to what is let out. */

const HOST = "api.openai.com";
const GET = `curl -s -o /dev/null -m 20 -w '%{http_code} ' https://${HOST}/v1/models`;
const CHAT = `curl -s -o /dev/null -m 20 -w '%{http_code} ' https://${HOST}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"gpt-4o","messages":[]}'`;
const OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const hook = (name: string, target: string, more = "", event = "on_response"): string =>
  `[[proxy.hooks]]\nname = "${name}"\nevent = "${event}"\ntarget = { ${target} }\n${more}\n`;
const web = (target: Receiver, path: string, more = ""): string => `type = "webhook", url = "${target.url}/${path}"${more}`;
const got = (target: Receiver, path: string) => target.received.filter((one) => one.path === `/in/${path}`);

async function boxed(upstream: TestUpstream, toml: (place: Installation) => string | Promise<string>): Promise<Served> {
  const at = await served(async (place) => `${await toml(place)}\n${await upstreamsTo(place, upstream, HOST)}`);
  expect((await at.place.run(["create", "box", "--no-workspace", "--allow", HOST, "--label", "team=core"])).stderr).not.toContain("error");
  return at;
}
const origin = () => testUpstream((_request, response) => response.setHeader("content-type", "application/json").end("{}"));

describe("[[proxy.hooks]]", requires("bwrap", "curl"), () => {
  it("filters: each key alone keeps out what it does not fit", async () => {
    await using upstream = await origin();
    await using target = await receiver();
    const filters = {
      sandbox: "other",
      label: "team=red",
      host: "other.example",
      provider: "anthropic",
      decision: "deny",
      status: "5xx",
      model: "claude-*",
    };
    const fitting = {
      sandbox: "box",
      label: "team=core",
      host: "*.openai.com",
      provider: "openai",
      decision: "allow",
      status: "2xx",
      model: "gpt-*",
    };
    await using at = await boxed(upstream, () =>
      [
        ...Object.entries(filters).map(([key, value]) => hook(`not-${key}`, web(target, `not-${key}`), `filter = { ${key} = "${value}" }`)),
        ...Object.entries(fitting).map(([key, value]) => hook(`is-${key}`, web(target, `is-${key}`), `filter = { ${key} = "${value}" }`)),
      ].join(""),
    );
    expect(await at.inside("box", CHAT)).toBe("200 ");
    for (const key of Object.keys(fitting)) await waitFor(() => got(target, `is-${key}`).length > 0, { what: key, timeoutMs: 10_000 });
    // a hook that heeds no filter has had it by now: all were delivered beside each other
    await waitFor(async () => {
      const { data } = (await at.api("GET", "/proxy/hooks")).body as unknown as { data: { status: { lag: number } }[] };
      return data.every(({ status }) => status.lag === 0);
    });
    for (const key of Object.keys(filters)) expect(got(target, `not-${key}`), key).toEqual([]);
  }, 60_000);

  it("webhooks: credentials, headers, roots, older secrets and batches", async () => {
    await using upstream = await origin();
    await using target = await receiver({ tls: true });
    await using at = await boxed(upstream, async ({ home }) => {
      await writeFile(join(home, "hook-ca.pem"), target.ca);
      const more = `, authorization = "Bearer k", headers = { "x-tenant" = "red" }, ca_file = "${join(home, "hook-ca.pem")}"`;
      return hook("signed", web(target, "signed", more), `secret = "${NEW}"\nsecrets = ["${OLD}"]\nbatch = 2`);
    });
    expect(await at.inside("box", `${GET}; ${GET}`)).toBe("200 200 ");
    const sent = await waitFor(() => got(target, "signed")[0], { what: "a delivery", timeoutMs: 15_000 });
    expect(sent.headers).toMatchObject({ authorization: "Bearer k", "x-tenant": "red" });
    expect(JSON.parse(sent.body)).toBeInstanceOf(Array);
    for (const secret of [NEW, OLD]) new Webhook(secret).verify(sent.body, sent.headers as Record<string, string>);
  }, 60_000);

  it("files: where hook_file_dirs permit, renamed past rotate_size; the audit log", async () => {
    await using upstream = await origin();
    await using at = await boxed(upstream, async ({ home }) => {
      const dir = join(home, "..", "notes");
      await mkdir(dir);
      return [
        `[proxy]\nhook_file_dirs = ["${dir}"]\n`,
        hook("file", `type = "file", path = "${join(dir, "all.jsonl")}", rotate_size = "1KiB"`),
        hook("log", 'type = "audit"'),
      ].join("");
    });
    const dir = join(at.place.home, "..", "notes");
    expect(await at.inside("box", `${GET}; ${GET}; ${GET}`)).toBe("200 200 200 ");
    await waitFor(() => existsSync(join(dir, "all.jsonl")), { what: "the file" });
    await waitFor(() => readdirSync(dir).some((name) => /^all\.jsonl\.\d{4}-/.test(name)), { what: "an old file" });
    await waitFor(async () =>
      (await at.place.run(["audit", "tail", "--type", "security.finding"])).stdout.toString().includes("hook log saw"),
    );
  }, 60_000);

  it("decisions: asked within timeout_ms, kept for cache_ttl", async () => {
    await using upstream = await origin();
    await using slow = await testUpstream((_request, response) => void setTimeout(() => response.end('{"verdict":"allow"}'), 3_000), {
      tls: false,
    });
    await using judge = await receiver();
    judge.behave(() => ({ status: 200, body: '{"verdict":"allow"}' }));
    await using at = await boxed(
      upstream,
      () =>
        hook(
          "slow",
          `type = "webhook", url = "http://localhost:${slow.port}/"`,
          'mode = "decide"\ntimeout_ms = 20_000\ncache_ttl = 600',
          "on_request",
        ) + hook("quick", web(judge, "quick"), 'mode = "decide"\ncache_ttl = 600', "on_request"),
    );
    expect(await at.inside("box", `${GET}; ${GET}`)).toBe("200 200 ");
    expect([slow.requests.length, judge.received.length]).toEqual([1, 1]);
  }, 60_000);

  it("over the API: what it is told of, where and how, each field of it", async () => {
    await using upstream = await origin();
    await using target = await receiver();
    await using at = await boxed(upstream, () => "[proxy]\nunsafe_allow_private = true\n");
    const put = (name: string, more: object) =>
      at.api("POST", "/proxy/hooks", { name, event: "on_response", target: { type: "webhook", url: `${target.url}/${name}` }, ...more });
    const headers = { authorization: "Bearer k", headers: { "x-tenant": "red" } };
    const all = { secret: NEW, secrets: [OLD], batch: 1, include_body: "1KiB", filter: { sandbox: "box" } };
    expect((await put("all", { target: { type: "webhook", url: `${target.url}/all`, ...headers }, ...all })).status).toBe(200);
    await put("never", { filter: { sandbox: "other" } });
    await put("denied", { event: "on_deny" });
    expect(await at.inside("box", CHAT)).toBe("200 ");
    const sent = await waitFor(() => got(target, "all").find(({ body }) => body.includes("egress.exchange")), {
      what: "a delivery",
      timeoutMs: 15_000,
    });
    expect(sent.headers).toMatchObject({ authorization: "Bearer k", "x-tenant": "red" });
    for (const secret of [NEW, OLD]) new Webhook(secret).verify(sent.body, sent.headers as Record<string, string>);
    expect(JSON.parse(sent.body)).toMatchObject([{ request_body: { content: expect.stringContaining("gpt-4o") as string } }]);
    expect([got(target, "never"), got(target, "denied")]).toEqual([[], []]);
    // a decision has its own time, and holds for its own
    target.behave(() => ({ status: 200, body: '{"verdict":"allow"}' }));
    await put("asked", { event: "on_request", mode: "decide", timeout_ms: 20_000, cache_ttl: 600 });
    await waitFor(async () => (await at.inside("box", GET)) === "200 " && got(target, "asked").length > 0, {
      what: "a question",
      timeoutMs: 15_000,
    });
    await at.inside("box", GET);
    expect(got(target, "asked")).toHaveLength(1);
  }, 60_000);

  it("unsafe_allow_private opens private addresses to hooks of the API", async () => {
    await using target = await receiver();
    const put = async (toml: string): Promise<number> => {
      await using at = await served(toml);
      return (await at.api("POST", "/proxy/hooks", { name: "h", event: "on_deny", target: { type: "webhook", url: target.url } })).status;
    };
    expect([await put(""), await put("[proxy]\nunsafe_allow_private = true\n")]).toEqual([400, 200]);
  }, 60_000);
});
