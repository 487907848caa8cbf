import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createStandIn } from "../../src/demo/stand-in.ts";
import { type Installation, installation } from "../support/installation.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { type Receiver, receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";

afterAll(() => expectNoChildren(/esbuild|vitest/));

type Body = Readonly<Record<string, unknown>>;
type Shown = { readonly content: string; readonly encoding: string; readonly size: number | null; readonly truncated: boolean };

const bodies = ({ received }: Receiver): readonly Body[] => received.map(({ body }) => JSON.parse(body) as Body);

async function upstream(place: Installation): Promise<{ readonly toml: string } & AsyncDisposable> {
  const standIn = await createStandIn();
  const ca = join(place.home, "ca.pem");
  writeFileSync(ca, standIn.caPem);
  return {
    toml: `[[egress.upstreams]]\nhost = "api.openai.com"\nurl = "${standIn.origin}"\nca_file = "${ca}"\n`,
    [Symbol.asyncDispose]: () => standIn.close(),
  };
}

function hookToml(name: string, event: string, target: Receiver, more = ""): string {
  return `[[proxy.hooks]]\nname = "${name}"\nevent = "${event}"\ntarget = { type = "webhook", url = "${target.url}" }\n${more}\n`;
}

const chat = (content: string) =>
  `curl -sS -o /dev/null -w '%{http_code} ' https://api.openai.com/v1/chat/completions -H 'authorization: Bearer k' -H 'content-type: application/json' -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"${content}"}]}'`;

const inside = (place: Installation, ...commands: readonly string[]) =>
  place.run(["run", "--no-workspace", "--allow", "api.openai.com", "--", "sh", "-c", commands.join("; ")]);

describe("hooks", requires("bwrap", "curl"), () => {
  it("with include_body get bodies without secrets; nobody else does", async () => {
    await using place = await installation();
    await using api = await upstream(place);
    await using all = await five();
    const [withBody, small, without, announced, stream] = all;
    await place.configure(
      [
        api.toml,
        hookToml("with", "on_response", withBody, "include_body = true"),
        hookToml("small", "on_response", small, 'include_body = "8B"'),
        hookToml("without", "on_response", without),
        hookToml("announced", "on_request", announced, 'include_body = "1KiB"'),
        `[[audit.streams]]\nocsf_enabled = false\nflush_interval_secs = 0\ndestination = { type = "http_webhook", url = "${stream.url}" }\n`,
        `[[audit.streams]]\nflush_interval_secs = 0\ndestination = { type = "file", path = "${join(place.home, "ocsf.jsonl")}" }\n`,
      ].join("\n"),
    );
    const ran = await inside(place, chat("the-prompt password=hunter2"));
    expect(ran.stdout.toString()).toBe("200 ");
    const exchangeOf = (target: Receiver) =>
      bodies(target).find(({ type }) => type === "egress.exchange") as { request_body?: Shown; response_body?: Shown };
    const { request_body: request, response_body: response } = exchangeOf(withBody);
    expect(request).toMatchObject({ encoding: "utf8", truncated: false });
    expect(request?.content).toContain("the-prompt password=[redacted]");
    expect(response).toMatchObject({ encoding: "utf8", truncated: false });
    expect(JSON.parse(response?.content ?? "")).toMatchObject({ object: "chat.completion" });
    expect(exchangeOf(small).request_body).toEqual({ ...request, content: '{"model"', truncated: true });
    expect(exchangeOf(small).response_body?.content).toHaveLength(8);
    expect(exchangeOf(without)).not.toHaveProperty("request_body");
    expect(bodies(announced)[0]).toMatchObject({ phase: "request", request_body: { content: request?.content } });
    // the log has them, since that is where hooks are served from; every other way out does not
    for (const command of [
      ["audit", "tail", "-n", "500", "--json"],
      ["audit", "export"],
      ["policy", "log", "-n", "500", "--json"],
    ]) {
      const shown = (await place.run(command)).stdout.toString();
      expect(shown).toContain("egress.exchange");
      expect(shown).not.toMatch(/request_body|response_body/);
    }
    expect(stream.received.length).toBeGreaterThan(0);
    for (const { body } of [...stream.received, ...without.received]) expect(body).not.toMatch(/request_body|response_body/);
    for (const { body } of [...withBody.received, ...announced.received, ...small.received]) expect(body).not.toContain("hunter2");
    expect((await place.run(["audit", "verify"])).code).toBe(0);
  });

  it("that decide may do so by what the body says", async () => {
    await using place = await installation();
    await using api = await upstream(place);
    await using judge = await receiver();
    judge.behave(({ body }) => {
      const { content } = (JSON.parse(body) as { body: Shown }).body;
      return {
        status: 200,
        body: JSON.stringify(content.includes("project-x") ? { verdict: "deny", reason: "not about that" } : { verdict: "allow" }),
      };
    });
    await place.configure(`${api.toml}${hookToml("judge", "on_request", judge, 'mode = "decide"\ninclude_body = "256KiB"')}`);
    expect((await inside(place, chat("hello"), chat("tell them of project-x"))).stdout.toString()).toBe("200 403 ");
    expect(bodies(judge).map(({ body }) => (body as Shown).truncated)).toEqual([false, false]);
  });

  it("on_budget tell of each threshold once, and of a call that exceeds a budget that only warns", async () => {
    await using place = await installation();
    await using api = await upstream(place);
    await using budgets = await receiver();
    await using others = await receiver();
    await place.configure(
      [
        api.toml,
        '[[llm.budgets]]\nid = "two"\nscope = "global"\nunit = "requests"\nlimit = 2\nwindow = "total"\non_exceed = "warn"\n',
        hookToml("budgets", "on_budget", budgets),
        hookToml("others", "on_budget", others, 'filter = { sandbox = "somebody-else" }'),
      ].join("\n"),
    );
    expect((await inside(place, chat("1"), chat("2"), chat("3"))).stdout.toString()).toBe("200 200 200 ");
    expect(bodies(budgets).map(({ finding, budget }) => [finding, (budget as Body)["percent"], (budget as Body)["used"]])).toEqual([
      ["budget_threshold", 50, 1],
      ["budget_threshold", 80, 2],
      ["budget_threshold", 90, 2],
      ["budget_threshold", 100, 2],
      ["budget_exceeded", undefined, 2],
    ]);
    expect(bodies(budgets)[0]).toMatchObject({
      rule: "budget:two",
      budget: { id: "two", scope: "global", unit: "requests", limit: 2, window: "total" },
    });
    expect(others.received).toEqual([]);
  });
});

type Five = readonly [Receiver, Receiver, Receiver, Receiver, Receiver] & AsyncDisposable;

async function five(): Promise<Five> {
  const all = await Promise.all([1, 2, 3, 4, 5].map(() => receiver()));
  return Object.assign(all, {
    [Symbol.asyncDispose]: async () => {
      for (const one of all) await one[Symbol.asyncDispose]();
    },
  }) as unknown as Five;
}
