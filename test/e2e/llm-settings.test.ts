import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type TestUpstream, testUpstream } from "../support/gateway/upstream.ts";
import type { Installation } from "../support/installation.ts";
import { receiver } from "../support/receiver.ts";
import { requires } from "../support/requires.ts";
import { type Served, served, upstreamsTo } from "../support/served.ts";
import { waitFor } from "../support/wait-for.ts";

/** `[llm]`, from the file to what becomes of a call. */

const OPENAI = "api.openai.com";
const OWN = "gpu.corp.example";
const USAGE = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };

/** Keeps what it is asked; answers as OpenAI does. */
async function provider(): Promise<TestUpstream & { readonly asked: string[] }> {
  const asked: string[] = [];
  const upstream = await testUpstream((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      asked.push(body);
      const { model } = JSON.parse(body) as { model: string };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ id: "c1", object: "chat.completion", model, choices: [], usage: USAGE }));
    });
  });
  return Object.assign(upstream, { asked });
}

const call = (model: string, { host = OPENAI, more = "" } = {}): string =>
  `curl -s -o /dev/null -m 20 -w '%{http_code} ' https://${host}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"${model}","messages":[]${more}}'`;
const STREAM = ',"stream":true';

/** A server with the configuration and a sandbox `box`. */
async function boxed(upstream: TestUpstream, toml: (place: Installation) => string | Promise<string>): Promise<Served> {
  const at = await served(async (place) => `${await toml(place)}\n${await upstreamsTo(place, upstream, OPENAI, OWN)}`);
  const made = await at.place.run(["create", "box", "--no-workspace", "--allow", OPENAI, "--allow", OWN, "--label", "team=red"]);
  expect(made.stderr).not.toContain("error");
  return at;
}

describe("[llm]", requires("bwrap", "curl"), () => {
  it("models.allow and models.deny", async () => {
    await using upstream = await provider();
    await using at = await boxed(upstream, () => '[llm.models]\nallow = ["gpt-4o*", "o3*"]\ndeny = ["o3-pro"]\n');
    expect(await at.inside("box", [call("gpt-4o-mini"), call("gpt-4.1"), call("o3"), call("o3-pro")].join(";"))).toBe("200 403 200 403 ");
  }, 60_000);

  it("budgets: id, scope, unit, limit, window and on_exceed", async () => {
    await using upstream = await provider();
    const budget = (keys: string): string => `[[llm.budgets]]\n${keys}\n`;
    await using at = await boxed(upstream, () =>
      [
        budget('id = "short"\nscope = "model:gpt-4o*"\nunit = "requests"\nlimit = 1\nwindow = "8s"'),
        budget('id = "warned"\nscope = "model:o3*"\nunit = "tokens"\nlimit = 1\non_exceed = "warn"'),
        budget('scope = "label:team=blue"\nunit = "requests"\nlimit = 0'),
      ].join(""),
    );
    expect(await at.inside("box", [call("gpt-4o"), call("gpt-4o"), call("gpt-4.1"), call("o3"), call("o3")].join(";"))).toBe(
      "200 403 200 200 200 ",
    );
    await waitFor(async () => (await at.inside("box", call("gpt-4o"))) === "200 ", { what: "the end of its window", timeoutMs: 30_000 });
    const listed = JSON.parse((await at.place.run(["llm", "budget", "ls", "--json"])).stdout.toString()) as { id: string }[];
    expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining(["short", "warned"]));
  }, 60_000);

  it("unknown_price lets a model pass that a budget in dollars cannot count", async () => {
    await using upstream = await provider();
    const toml = (more: string): string => `[llm]\n${more}\n[[llm.budgets]]\nscope = "global"\nunit = "usd"\nlimit = 5\n`;
    await using strict = await boxed(upstream, () => toml(""));
    expect(await strict.inside("box", call("nobodys-model"))).toBe("403 ");
    await using lax = await boxed(upstream, () => toml('unknown_price = "allow"'));
    expect(await lax.inside("box", call("nobodys-model"))).toBe("200 ");
  }, 60_000);

  it("include_usage, of all and of a provider of one's own, and custom_domains", async () => {
    await using upstream = await provider();
    const asks = async (toml: string, host = OPENAI): Promise<boolean> => {
      await using at = await boxed(upstream, () => toml);
      await at.inside("box", call("m", { host, more: STREAM }));
      const { request_count, provider: name } =
        (
          JSON.parse((await at.place.run(["llm", "usage", "--by", "provider", "--json"])).stdout.toString()) as {
            request_count: number;
            provider: string;
          }[]
        )[0] ?? {};
      expect([request_count, name]).toEqual([1, host === OPENAI ? "openai" : "custom"]);
      return upstream.asked.at(-1)?.includes('"include_usage":true') === true;
    };
    expect(await asks("")).toBe(true);
    expect(await asks('[llm]\ninclude_usage = "off"\n')).toBe(false);
    expect(await asks(`[llm]\ncustom_domains = ["${OWN}"]\n`, OWN)).toBe(true);
    const own = (more: string): string => `[[llm.providers]]\nname = "corp"\nhosts = ["${OWN}"]\nshape = "openai-chat"\n${more}\n`;
    expect(await asks(own(""), OWN)).toBe(true);
    expect(await asks(own("include_usage = false"), OWN)).toBe(false);
  }, 90_000);

  it("enabled = false recognises nothing", async () => {
    await using upstream = await provider();
    await using at = await boxed(upstream, () => "[llm]\nenabled = false\n");
    expect(await at.inside("box", call("gpt-4o"))).toBe("200 ");
    expect(JSON.parse((await at.place.run(["llm", "usage", "--json"])).stdout.toString())).toEqual({});
  }, 60_000);

  it("drain_on_abort reads on when the client has left", async () => {
    const left = Promise.withResolvers<void>();
    await using upstream = await testUpstream((request, response) => {
      request.resume().on("end", () => {
        const send = (data: object): boolean => response.write(`data: ${JSON.stringify({ id: "c", model: "gpt-4o", ...data })}\n\n`);
        response.setHeader("content-type", "text/event-stream");
        send({ choices: [{ index: 0, delta: { content: "a" } }] });
        void left.promise.then(() => {
          send({ choices: [], usage: { ...USAGE, prompt_tokens: 4_321 } });
          response.end("data: [DONE]\n\n");
        });
      });
    });
    await using at = await boxed(upstream, () => "[llm]\ndrain_on_abort = true\n");
    await at.inside("box", call("gpt-4o", { more: STREAM }).replace("-m 20", "-m 1"));
    left.resolve();
    const tokens = async (): Promise<number | undefined> =>
      (
        JSON.parse((await at.place.run(["llm", "usage", "--by", "model", "--json"])).stdout.toString()) as { total_input_tokens: number }[]
      )[0]?.total_input_tokens;
    await waitFor(async () => (await tokens()) === 4_321, { what: "the exact figure", timeoutMs: 10_000 });
  }, 60_000);

  it("otlp: url, authorization, headers, roots and interval", async () => {
    await using upstream = await provider();
    await using collector = await receiver({ tls: true });
    await using at = await boxed(upstream, async ({ home }) => {
      await writeFile(join(home, "otlp-ca.pem"), collector.ca);
      return `[llm.otlp]\nurl = "https://localhost:${collector.port}"\nauthorization = "Bearer k"\nheaders = { "x-tenant" = "red" }\nca_file = "${join(home, "otlp-ca.pem")}"\ninterval = "1s"\n`;
    });
    await at.inside("box", call("gpt-4o"));
    const sent = await waitFor(() => collector.received[0], { what: "an export while the server runs", timeoutMs: 15_000 });
    expect(sent).toMatchObject({ path: "/v1/metrics", headers: { authorization: "Bearer k", "x-tenant": "red" } });
    expect(sent.body).toContain("gen_ai");
  }, 60_000);
});
