import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OtlpMetrics } from "../../src/app/llm/otlp-metrics.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Event } from "../../src/schema/event.ts";
import type { SecretText } from "../../src/schema/audit-stream.ts";
import { createResolver } from "../../src/secrets/references.ts";
import { appSetting } from "../support/app-setting.ts";
import { llmCall } from "../support/llm-event.ts";
import { receiver } from "../support/receiver.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

/** A feed of events that the test writes. */
function feed() {
  const listeners = new Set<(event: Event) => void>();
  return {
    events: {
      subscribe: (listener: (event: Event) => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    emit: (event: Event) => listeners.forEach((listener) => listener(event)),
    listeners,
  };
}

const tokensIn = (body: string): string | undefined => /usage\.input_tokens".*?"asInt":"(\d+)"/.exec(body)?.[1];

test("calls arrive at a collector, at intervals and at the end, with what the configuration says", async () => {
  await using collector = await receiver();
  const { events, emit, listeners } = feed();
  const warned: string[] = [];
  const exporter = await OtlpMetrics.open({
    settings: { url: `http://127.0.0.1:${collector.port}`, headers: { Authorization: { env: "KEY" }, "x-tenant": "red" }, intervalMs: 50 },
    events,
    secret: async (text: SecretText) => (typeof text === "string" ? text : "Bearer s3cr3t"),
    hostname: "host.example",
    clock: systemClock,
    log: { ...silentLog, warn: (message) => warned.push(message) },
  });
  emit(llmCall({ input_tokens: 100 }));
  await waitFor(() => collector.received.length > 0, { what: "the first export" });
  const [first] = collector.received;
  expect(first).toMatchObject({
    method: "POST",
    path: "/v1/metrics",
    headers: { "content-type": "application/json", authorization: "Bearer s3cr3t", "x-tenant": "red" },
  });
  expect(JSON.parse(first?.body ?? "")).toMatchObject({
    resourceMetrics: [
      {
        resource: { attributes: expect.arrayContaining([{ key: "service.name", value: { stringValue: "agentkernel" } }]) },
        scopeMetrics: [{ scope: { name: "agentkernel" } }],
      },
    ],
  });
  expect(tokensIn(first?.body ?? "")).toBe("100");

  // an outage is one line, and costs no figure: they are cumulative
  collector.behave(() => ({ status: 503 }));
  emit(llmCall({ id: "evt_2", input_tokens: 11 }));
  const before = collector.received.length;
  await waitFor(() => collector.received.length > before + 2, { what: "exports that fail" });
  expect(warned).toEqual(["metrics could not be exported"]);
  collector.behave(() => ({ status: 200, body: "{}" }));
  emit(llmCall({ id: "evt_3", input_tokens: 1 }));
  await exporter[Symbol.asyncDispose]();
  expect(tokensIn(collector.received.at(-1)?.body ?? "")).toBe("112");
  expect(listeners.size).toBe(0);
});

test("a process ends although its collector does not answer", async () => {
  await using collector = await receiver();
  collector.behave(() => "hang");
  const { events, emit } = feed();
  const exporter = await OtlpMetrics.open({
    settings: { url: collector.url, headers: {}, intervalMs: 60_000 },
    events,
    secret: async () => "",
    hostname: "host.example",
    clock: systemClock,
    log: silentLog,
  });
  emit(llmCall());
  const begun = performance.now();
  await exporter[Symbol.asyncDispose]();
  expect(performance.now() - begun).toBeLessThan(8_000);
});

test("a process ends although an export is under way to a collector that does not answer", async () => {
  await using collector = await receiver();
  collector.behave(() => "hang");
  const { events, emit } = feed();
  const warned: unknown[] = [];
  const exporter = await OtlpMetrics.open({
    settings: { url: collector.url, headers: {}, intervalMs: 20 },
    events,
    secret: async () => "",
    hostname: "host.example",
    clock: systemClock,
    log: { ...silentLog, warn: (message) => warned.push(message) },
  });
  emit(llmCall({ input_tokens: 1 }));
  await waitFor(() => collector.received.length === 1, { what: "an export that hangs" });
  emit(llmCall({ id: "evt_2", input_tokens: 2 }));
  const begun = performance.now();
  await exporter[Symbol.asyncDispose]();
  // the one under way is given up at once, and the last one, with all figures, has its two seconds
  expect(performance.now() - begun).toBeLessThan(5_000);
  expect(collector.received.map(({ body }) => tokensIn(body))).toEqual(["1", "3"]);
  expect(warned).toEqual(["metrics could not be exported"]);
});

/** Prints no value for a minute, and does not care for polite signals; its pid is in `file`. */
const stubborn = (file: string): readonly string[] => ["sh", "-c", `trap '' TERM; echo $$ > ${file}; sleep 60; echo never`];

async function isGone(file: string): Promise<boolean> {
  return !existsSync(`/proc/${(await readFile(file, "utf8")).trim()}`);
}

test("a process ends although the command that it asks for a key does not", async () => {
  await using collector = await receiver();
  await using dir = await tempDir();
  const file = join(dir.path, "pid");
  const { events, emit } = feed();
  const resolver = createResolver({ env: { get: () => undefined, names: () => [] }, hiddenFromCommands: [] });
  const exporter = await OtlpMetrics.open({
    settings: { url: collector.url, headers: { authorization: { command: [...stubborn(file)] } }, intervalMs: 20 },
    events,
    secret: async (text, signal) =>
      typeof text === "string" ? text : (await resolver.resolve(text, signal ?? AbortSignal.timeout(60_000))).reveal(),
    hostname: "host.example",
    clock: systemClock,
    log: silentLog,
  });
  emit(llmCall());
  await waitFor(() => existsSync(file) && readFileSync(file).length > 0, { what: "the command" });
  const begun = performance.now();
  await exporter[Symbol.asyncDispose]();
  expect(performance.now() - begun).toBeLessThan(6_000);
  expect(collector.received).toEqual([]);
  await waitFor(() => isGone(file), { what: "the end of the command" });
});

test("a server ends although the command for the key of a stream does not", { timeout: 30_000 }, async () => {
  await using collector = await receiver();
  await using dir = await tempDir();
  const file = join(dir.path, "pid");
  const command = JSON.stringify(stubborn(file));
  const at = await appSetting(
    `[[audit.streams]]\nflush_interval_secs = 1\ndestination = { type = "otlp", url = "${collector.url}", authorization = { command = ${command} } }\n`,
  );
  await waitFor(() => existsSync(file) && readFileSync(file).length > 0, { what: "the command", timeoutMs: 10_000 });
  const begun = performance.now();
  await at[Symbol.asyncDispose]();
  // five seconds are the stream's
  expect(performance.now() - begun).toBeLessThan(10_000);
  await waitFor(() => isGone(file), { what: "the end of the command" });
});

test("the program exports nothing when it made no call, and refuses roots that cannot be read", async () => {
  await using collector = await receiver();
  {
    await using at = await appSetting(`[llm]\notlp = { url = "${collector.url}", interval = "1s" }\n`);
    expect(await at.app.budgets.list()).toEqual([]);
  }
  expect(collector.received).toEqual([]);
  await expect(appSetting(`[llm]\notlp = { url = "${collector.url}", ca_file = "/nowhere.pem" }\n`)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("llm.otlp.ca_file"),
  });
});
