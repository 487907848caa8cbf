import { describe, expect, it, test } from "vitest";
import { readUntilClose, tlsInside } from "../support/gateway/client.ts";
import { denials } from "../support/gateway/denials.ts";
import { createMetrics } from "../../src/metrics/create-metrics.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { fetchOver, PROTOCOLS } from "../support/gateway/both-protocols.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { waitFor } from "../support/wait-for.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { makeBinding } from "../../src/secrets/binding.ts";
import { checkSecretValue } from "../../src/secrets/value.ts";

const HOST = "api.example.com";

test.each(["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\u001b[31mb", "ä"])("a value with %j is refused", (value) => {
  expect(() => checkSecretValue(value, "it")).toThrowError(expect.objectContaining({ code: "VALIDATION" }));
});

test.each([
  { host: "a.com\r\nX: 1" },
  { host: "a.com", header: "x\r\ny" },
  { host: "a.com", query: "k\n" },
  { host: "a.com", paths: ["/a\nb"] },
])("a binding with control characters is refused: %j", (parts) => {
  expect(() => makeBinding({ name: "K", ...parts })).toThrowError(expect.objectContaining({ code: "VALIDATION" }));
});

test.each([{ host: "a.com\r\nb" }, { host: "a.com", paths: ["/a\u0000"] }, { host: "a.com", methods: ["GET\r\n"] }])(
  "a rule with control characters is refused: %j",
  (over) => {
    expect(() => testPolicy([], { rules: [{ id: "r", effect: "allow", origin: "caller", ...over }] })).toThrowError(
      expect.objectContaining({ code: "VALIDATION" }),
    );
  },
);

test.each(["/a\u0007b", "/a%0d%0aSet-Cookie:x", "/a%00", "/\u001b[2J"])(
  "a request for %j is refused and recorded on one line",
  async (path) => {
    await using upstream = await testUpstream((_request, response) => response.end("never"));
    await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
    const socket = await tlsInside(fixture, HOST);
    socket.write(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`, "latin1"));
    expect(await readUntilClose(socket)).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(upstream.requests).toHaveLength(0);
    await denials(fixture, ["protocol", "path"]);
    for (const event of [...fixture.seen.exchanges, ...fixture.seen.decisions]) expect(JSON.stringify(event)).not.toMatch(/[\n\r]/);
  },
);

describe("the audit", requires("bwrap"), () => {
  it("holds one line for a command of escapes and line breaks, and shows it without them", async () => {
    await using at = await installation();
    const evil = 'printf "\u001b]0;title\u0007\u009b2J"\n{"type":"admin.change"}\r\n';
    await at.run([
      "run",
      "--no-workspace",
      "--",
      "sh",
      "-c",
      `: ${evil.replaceAll('"', '\\"').replaceAll("\n", " ")}`,
      "line\nbreak\u001b[31m",
    ]);
    const json = (await at.run(["audit", "tail", "--json", "-n", "50"])).stdout.toString().trim().split("\n");
    const events = json.map((line) => JSON.parse(line) as { type: string; command?: string[] });
    expect(events.some(({ type, command }) => type === "sandbox.exec" && command?.includes("line\nbreak\u001b[31m"))).toBe(true);
    expect(events.filter(({ type }) => type === "admin.change")).toEqual([]);
    const shown = (await at.run(["audit", "tail", "-n", "50"])).stdout.toString();
    // oxlint-disable-next-line no-control-regex -- exactly these must not pass
    expect(shown.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
  });
});

test.each(PROTOCOLS)("V98: line feeds and terminal codes in a model's name forge no line of a record or metric (%s)", async (protocol) => {
  const host = "api.openai.com";
  const model = 'gpt-5\n{"type":"llm.call","decision":"allow"}\u001b[2J"} 1\nagentkernel_forged_total 1';
  const metrics = createMetrics();
  await using upstream = await testUpstream((request, response) => {
    response.setHeader("content-type", "application/json");
    const usage = { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 };
    request.resume().on("end", () => response.end(JSON.stringify({ model, choices: [], usage })));
  });
  await using fixture = await gatewayFixture({
    allow: [host],
    upstreams: [upstream.override(host)],
    providers: createProviderTable({ customDomains: [] }),
    metrics,
  });
  const body = JSON.stringify({ model });
  await fetchOver(protocol, fixture, `https://${host}/v1/chat/completions`, { body, headers: { "content-type": "application/json" } });
  await waitFor(() => fixture.seen.calls.length === 1);
  expect(JSON.stringify(fixture.seen.calls[0]).split("\n")).toHaveLength(1);
  const text = await metrics.text();
  expect(text).not.toMatch(/forged|\u001b/);
  expect(text).toContain('agentkernel_llm_input_tokens_total{sandbox="box",provider="openai",model="_other"} 3');
});
