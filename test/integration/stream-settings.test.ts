import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { type AppSetting, appSetting, TEST_CALLER } from "../support/app-setting.ts";
import { syslogReceiver } from "../support/collectors.ts";
import { type Received, type Receiver, receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

/** Every key of `[[audit.streams]]`, from the file to what its receiver gets. */

const NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** An event that streams deliver. */
const happen = (at: AppSetting, name = "A_KEY"): Promise<void> => at.app.secrets.set(TEST_CALLER, name, "value");
/** The certificate as a file, so that `ca_file` has to be heeded. */
const trusted = (dir: string, { ca }: { readonly ca: string }): string => {
  writeFileSync(join(dir, "ca.pem"), ca);
  writeFileSync(join(dir, "key"), "of-the-file\n");
  return `ca_file = "${join(dir, "ca.pem")}"`;
};
const origin = ({ port }: Receiver): string => `https://localhost:${port}`;

type Case = {
  readonly type: string;
  readonly keys: (dir: string, target: Receiver) => string;
  readonly answer?: (request: Received) => string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RegExp;
};
const KEY = (dir: string): string => `{ file = "${join(dir, "key")}" }`;
const CASES: readonly Case[] = [
  {
    type: "http_webhook",
    keys: (dir, target) => `url = "${origin(target)}/in", authorization = ${KEY(dir)}, secret = "${NEW}", secrets = ["${OLD}"]`,
    path: "/in",
    headers: { authorization: "of-the-file" },
    body: /^\[\{.*"class_uid"/,
  },
  {
    type: "splunk",
    keys: (dir, target) => `url = "${origin(target)}", token = ${KEY(dir)}, index = "sec", source = "here", sourcetype = "of:ours"`,
    answer: () => '{"text":"Success","code":0}',
    path: "/services/collector/event",
    headers: { authorization: "Splunk of-the-file" },
    body: /"source":"here","sourcetype":"of:ours".*"index":"sec"|"index":"sec".*"source":"here","sourcetype":"of:ours"/,
  },
  {
    type: "elastic",
    keys: (dir, target) => `url = "${origin(target)}/at", index = "sec", authorization = ${KEY(dir)}`,
    answer: ({ body }) =>
      JSON.stringify({
        errors: false,
        items: body.split("\n").flatMap((line) => (line.startsWith('{"create"') ? [{ create: { status: 201 } }] : [])),
      }),
    path: "/at/_bulk",
    headers: { authorization: "of-the-file" },
    body: /\{"create":\{[^}]*"_index":"sec"/,
  },
  {
    type: "datadog",
    keys: (dir, target) => `url = "${origin(target)}", api_key = ${KEY(dir)}, service = "fence"`,
    path: "/api/v2/logs",
    headers: { "dd-api-key": "of-the-file" },
    body: /"service":"fence"/,
  },
  {
    type: "otlp",
    keys: (dir, target) => `url = "${origin(target)}", authorization = ${KEY(dir)}`,
    path: "/v1/logs",
    headers: { authorization: "of-the-file" },
    body: /"resourceLogs"/,
  },
];

test.each(CASES)("$type: address, credentials, headers, roots and its own keys reach the receiver", async (one) => {
  await using target = await receiver({ tls: true });
  target.behave((request) => ({ status: 200, body: one.answer?.(request) ?? "{}" }));
  await using at = await appSetting(async (dir) => {
    const ca = trusted(dir, target);
    return `[[audit.streams]]\nflush_interval_secs = 0\ndestination = { type = "${one.type}", ${one.keys(dir, target)}, headers = { "x-tenant" = "red" }, ${ca} }\n`;
  });
  await happen(at);
  const request = await waitFor(() => target.received[0], { what: "a delivery" });
  expect(request).toMatchObject({ path: one.path, headers: { ...one.headers, "x-tenant": "red" } });
  expect(request.body).toMatch(one.body);
  if (one.type === "http_webhook")
    for (const secret of [NEW, OLD])
      expect(new Webhook(secret).verify(request.body, request.headers as Record<string, string>)).toBeInstanceOf(Array);
});

test("syslog: host, port, facility, the longest message and roots are those of the file", async () => {
  await using target = await syslogReceiver();
  await using at = await appSetting(async (dir) => {
    const to = (name: string, more: string) =>
      `[[audit.streams]]\nname = "${name}"\nflush_interval_secs = 0\ndestination = { type = "syslog", host = "localhost", port = ${target.port}, ${trusted(dir, target)}${more} }\n`;
    return to("whole", ", facility = 20") + to("short", ", facility = 3, max_bytes = 480");
  });
  await happen(at);
  // severity is below the facility; what is longer than the receiver takes is never cut, and goes to the dead letters
  await waitFor(() => target.messages.some((text) => /^<16[0-7]>1 .*admin\.change/.test(text)), { what: "a message" });
  const letters = await waitFor(async () => (await at.app.delivery.deadLetters("short", 10)).at(-1), { what: "a dead letter" });
  expect(letters.reason).toContain("480");
  expect(target.messages.filter((text) => /^<(?:2[4-9]|3[01])>/.test(text) && Buffer.byteLength(text) > 480)).toEqual([]);
});

test("a file is renamed past its rotate_size, and lies where the file says", async () => {
  await using at = await appSetting(
    async (dir) =>
      `[[audit.streams]]\nflush_interval_secs = 0\nbatch_size = 1\ndestination = { type = "file", path = "${dir}/out/audit.jsonl", rotate_size = "1KiB" }\n`,
  );
  for (const name of ["ONE", "TWO", "THREE"]) await happen(at, name);
  await waitFor(() => readdirSync(join(at.dir, "out")).filter((name) => /^audit\.jsonl\.\d{4}-/.test(name)).length >= 2, {
    what: "two old files",
  });
});

test("batches hold batch_size events, wait flush_interval_secs to fill, and are in the release of OCSF that is named", async () => {
  await using target = await receiver();
  const to = (name: string, keys: string): string =>
    `[[audit.streams]]\nname = "${name}"\n${keys}\ndestination = { type = "http_webhook", url = "${target.url}/${name}" }\n`;
  await using at = await appSetting(
    to("pairs", 'batch_size = 2\nflush_interval_secs = 3_600\nocsf_version = "1.3.0"') +
      to("patient", "flush_interval_secs = 3_600") +
      to("native", "flush_interval_secs = 0\nocsf_enabled = false"),
  );
  const bodies = (name: string): readonly (readonly object[])[] =>
    target.received.filter(({ path }) => path.endsWith(`/${name}`)).map(({ body }) => JSON.parse(body) as readonly object[]);
  for (const name of ["ONE", "TWO", "THREE"]) await happen(at, name);
  const ids = await waitFor(() => bodies("native").flat().length >= 3 && bodies("native").flat(), { what: "native records" });
  expect(ids[0]).toMatchObject({ uid: expect.stringMatching(/^evt_/), action: expect.any(String) });
  await waitFor(() => bodies("pairs").length >= 1, { what: "a pair" });
  expect(new Set(bodies("pairs").map((batch) => batch.length))).toEqual(new Set([2]));
  expect(bodies("pairs")[0]?.[0]).toMatchObject({ metadata: { version: "1.3.0" } });
  expect(bodies("patient")).toEqual([]);
});

test("a stream is reported as failing after max_retries tries, under the name that it has", async () => {
  await using target = await receiver();
  target.behave(() => ({ status: 503 }));
  const to = (name: string, tries: number): string =>
    `[[audit.streams]]\nname = "${name}"\nflush_interval_secs = 0\nmax_retries = ${tries}\ndestination = { type = "http_webhook", url = "${target.url}/${name}" }\n`;
  await using at = await appSetting(to("soon", 1) + to("late", 1_000));
  await happen(at);
  const state = (name: string) => at.app.delivery.status().find((one) => one.name === name)?.state;
  await waitFor(() => state("soon") === "failing", { what: "a failing stream" });
  await waitFor(() => target.received.some(({ path }) => path.endsWith("/late")), { what: "a try of the other" });
  expect(state("late")).not.toBe("failing");
});
