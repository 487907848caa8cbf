import { readFile, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { SandboxFiles } from "../../src/app/secrets/secret-files.ts";
import type { TurnEnd } from "../../src/egress/gateway.ts";
import { fetchInside } from "../support/gateway/client.ts";
import type { Fixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import {
  ANSWER,
  CLIENT_ID,
  FIRST,
  JSON_TYPE,
  LOGIN_HOST,
  loginGateway,
  loginText,
  NEXT,
  refreshOf,
  TOKEN_URL,
} from "../support/login-gateway.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

/** Logins in files: what becomes of a refresh whose client, other process or grant is not what it should be. */

type Setting = AsyncDisposable & {
  readonly fixture: Fixture;
  readonly path: string;
  readonly bodies: string[];
  readonly answers: ServerResponse[];
  /** heads that the token endpoint has had */
  requests(): number;
  /** the placeholder of the refresh token */
  readonly shown: string;
  readonly opened: SandboxFiles;
};

async function setting(answer: ((response: ServerResponse) => void) | null, connectTimeoutMs = 5_000): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const path = join(dir.path, "credentials.json");
  await writeFile(path, loginText(FIRST), { mode: 0o600 });
  const bodies: string[] = [];
  const answers: ServerResponse[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        bodies.push(Buffer.concat(parts).toString());
        answers.push(response);
        answer?.(response);
      });
    }),
  );
  const where = { journal: join(dir.path, "logins"), path, upstream: upstream.override(LOGIN_HOST) };
  const { fixture, shown, opened } = stack.use(await loginGateway({ ...where, limits: { connectTimeoutMs } }));
  return {
    fixture,
    path,
    bodies,
    answers,
    shown,
    opened,
    requests: () => upstream.requests.length,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const answered = (response: ServerResponse): void => void response.writeHead(200, JSON_TYPE).end(ANSWER);

describe("a refresh of a login in a file", () => {
  test("is kept although its client leaves before the answer", async () => {
    await using at = await setting(null);
    const port = await at.fixture.reach(LOGIN_HOST, 443);
    const body = refreshOf(at.shown);
    const headers = { host: LOGIN_HOST, ...JSON_TYPE, "content-length": String(body.length) };
    const options = { host: "127.0.0.1", port, path: "/v1/oauth/token", method: "POST", headers, agent: false as const };
    const request = httpsRequest({ ...options, servername: LOGIN_HOST, ca: at.fixture.gateway.authorityPem });
    request.on("error", () => undefined);
    request.end(body);
    const answer = await waitFor(() => at.answers[0]);
    expect(at.bodies[0]).toBe(refreshOf(FIRST.refresh));
    request.destroy();
    await waitFor(() => at.fixture.metrics.count("connectionClosed") === 1);
    answered(answer);
    await waitFor(async () => (await readFile(at.path, "utf8")).includes(NEXT.refresh));
    // the next one carries what this one brought
    const second = fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    answered(await waitFor(() => at.answers[1]));
    expect((await second).status).toBe(200);
    expect(at.bodies[1]).toBe(refreshOf(NEXT.refresh));
    expect(at.fixture.seen.exchanges.find(({ end }) => end === "aborted")).toMatchObject({ status: 200, bytes_in: 0 });
  });

  test("has its turn, whatever a sandbox asks for at once", async () => {
    await using at = await setting(null);
    const refresh = () => fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    const all = Array.from({ length: 12 }, refresh);
    const statuses: number[] = [];
    for (const one of all) void one.then(({ status }) => statuses.push(status));
    await waitFor(() => statuses.length === 4);
    expect(statuses).toEqual([429, 429, 429, 429]);
    // one asks, and the seven that waited are told what it got: a second use of the refresh token would end the login
    answered(await waitFor(() => at.answers[0]));
    await Promise.all(all);
    expect(statuses.toSorted((one, other) => one - other)).toEqual([...Array.from({ length: 8 }, () => 200), 429, 429, 429, 429]);
    expect(at.bodies).toEqual([refreshOf(FIRST.refresh)]);
    // who asks afterwards is no longer told that
    expect((await Promise.all([refresh(), waitFor(() => at.answers[1]).then(answered)]))[0].status).toBe(200);
    expect(at.bodies[1]).toBe(refreshOf(NEXT.refresh));
  });

  test("that is not answered ends, and the next one has its turn", async () => {
    await using at = await setting((response) => {
      if (at.answers.length > 1) answered(response);
    }, 300);
    const refresh = () => fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    const [first, second] = await Promise.all([refresh(), refresh()]);
    expect(new Set([first.status, second.status])).toEqual(new Set([200, 504]));
    expect(at.bodies).toHaveLength(2);
    expect(await readFile(at.path, "utf8")).toContain(NEXT.refresh);
  });

  test("that cannot be stored is refused in words, and recorded, and nothing is sent", async () => {
    await using at = await setting(answered);
    const { egress, attachment } = at.fixture;
    const { endpoints, secrets } = at.opened;
    const exclusive = async (): Promise<TurnEnd> => ({ refused: "the login claude-code cannot be renewed: why", hint: "what to do" });
    attachment.update({ ...egress, secrets, tokenEndpoints: endpoints.map((endpoint) => ({ ...endpoint, exclusive })) });
    const answer = await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([403, { reason: "the login claude-code cannot be renewed: why" }]);
    expect(at.bodies).toEqual([]);
    await waitFor(() => at.fixture.seen.exchanges.length === 1);
    expect(at.fixture.seen.exchanges[0]).toMatchObject({ decision: "deny", reason: "the login claude-code cannot be renewed: why" });
  });

  test("is nobody's turn while its body comes, or when it is none", async () => {
    await using at = await setting(answered);
    const port = await at.fixture.reach(LOGIN_HOST, 443);
    const large = { host: LOGIN_HOST, ...JSON_TYPE, "content-length": String(10 * 1024 * 1024) };
    const options = { host: "127.0.0.1", port, path: "/v1/oauth/token", method: "POST", headers: large, agent: false as const };
    const slow = httpsRequest({ ...options, servername: LOGIN_HOST, ca: at.fixture.gateway.authorityPem });
    slow.on("error", () => undefined);
    slow.write(Buffer.alloc(1024 * 1024, "x"));
    await waitFor(() => at.requests() === 1);
    expect((await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE })).status).toBe(200);
    slow.destroy();
  });

  test("carries what another process renewed a moment ago", async () => {
    await using at = await setting(answered);
    await writeFile(at.path, loginText({ access: NEXT.access, refresh: "sk-ant-ort01-renewed-by-another-process-0123456789" }), {
      mode: 0o600,
    });
    await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    expect(at.bodies).toEqual([refreshOf("sk-ant-ort01-renewed-by-another-process-0123456789")]);
  });

  test.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
    ["deflate", deflateSync],
  ] as const)("whose answer is compressed all the same (%s) is kept, and masked", async (coding, compress) => {
    await using at = await setting((response) => {
      response.writeHead(200, { ...JSON_TYPE, "content-encoding": coding }).end(compress(ANSWER));
    });
    const answer = await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    expect(JSON.parse(answer.text)).toMatchObject({ refresh_token: at.shown, expires_in: 3600 });
    expect(await readFile(at.path, "utf8")).toContain(NEXT.refresh);
  });

  test("whose answer is a bomb leaves the file as it was", async () => {
    await using at = await setting((response) => {
      response.writeHead(200, { ...JSON_TYPE, "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(1024 * 1024, " ")));
    });
    const answer = await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown), headers: JSON_TYPE });
    expect(answer.text).toContain("was not let through");
    expect(await readFile(at.path, "utf8")).toBe(loginText(FIRST));
  });

  test("in the form of RFC 6749 is one too", async () => {
    await using at = await setting(answered);
    const body = `grant_type=refresh_token&client_id=${CLIENT_ID}&refresh_token=${at.shown}`;
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    expect((await fetchInside(at.fixture, TOKEN_URL, { body, headers })).text).not.toContain(NEXT.refresh);
    expect(at.bodies).toEqual([`grant_type=refresh_token&refresh_token=${FIRST.refresh}&client_id=${CLIENT_ID}`]);
    expect(await readFile(at.path, "utf8")).toContain(NEXT.refresh);
  });
});

describe("what is no refresh carries no token, and leaves the file as it was", () => {
  const exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
  const forms: readonly (readonly [string, (token: string) => string, string])[] = [
    ["another grant", (token) => JSON.stringify({ grant_type: exchange, subject_token: token }), "application/json"],
    ["another grant beside", (token) => `grant_type=refresh_token&grant_type=${exchange}&refresh_token=${token}`, "form"],
    ["no grant", (token) => JSON.stringify({ refresh_token: token }), "application/json"],
    ["another member", (token) => JSON.stringify({ grant_type: "refresh_token", refresh_token: "x", scope: token }), "application/json"],
    ["the token twice", (token) => `grant_type=refresh_token&refresh_token=${token}&refresh_token=${token}`, "form"],
    [
      "the token of one, and again elsewhere",
      (token) => JSON.stringify({ grant_type: "refresh_token", refresh_token: token, client_secret: token }),
      "application/json",
    ],
  ];
  test.each(forms)("%s", async (_name, bodyOf, type) => {
    await using at = await setting(answered);
    const headers = { "content-type": type === "form" ? "application/x-www-form-urlencoded" : type };
    const answer = await fetchInside(at.fixture, TOKEN_URL, { body: bodyOf(at.shown), headers });
    expect(answer.status).toBe(403);
    expect(at.bodies).toEqual([]);
    expect(await readFile(at.path, "utf8")).toBe(loginText(FIRST));
    expect(at.fixture.seen.findings).toMatchObject([{ finding: "secret_misplaced" }]);
  });
});

const SCOPES = ["user:inference", "user:profile"];
const FORM = { "content-type": "application/x-www-form-urlencoded" };
const form = (members: readonly (readonly [string, string])[]): string =>
  new URLSearchParams(members.map(([name, value]): [string, string] => [name, value])).toString();

describe("a refresh asks for what its login has, and for nothing else", () => {
  test.each([
    ["the same in another order is sent as it is", SCOPES, "user:profile user:inference", "user:profile user:inference"],
    ["more, as Claude Code asks for", SCOPES, "user:inference user:profile user:file_upload org:create_api_key", SCOPES.join(" ")],
    ["less", SCOPES, "user:inference", SCOPES.join(" ")],
    ["anything, where it is not known", undefined, "user:inference", undefined],
    ["nothing, which is what it has", SCOPES, undefined, undefined],
  ])("scope: %s", async (_name, held, asked, sent) => {
    await using at = await setting(answered);
    await writeFile(at.path, loginText(FIRST, held === undefined ? {} : { scopes: held }), { mode: 0o600 });
    const scope = asked === undefined ? {} : { scope: asked };
    expect((await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown, scope), headers: JSON_TYPE })).status).toBe(200);
    const base = { grant_type: "refresh_token", client_id: CLIENT_ID };
    const expected = sent === undefined ? {} : { scope: sent };
    expect(JSON.parse(at.bodies[0] ?? "")).toEqual({ ...base, refresh_token: FIRST.refresh, ...expected });
    // and in a form, the next one
    const members = [...Object.entries(base), ["refresh_token", at.shown], ...Object.entries(scope)] as [string, string][];
    expect((await fetchInside(at.fixture, TOKEN_URL, { body: form(members), headers: FORM })).status).toBe(200);
    expect(Object.fromEntries(new URLSearchParams(at.bodies[1]))).toEqual({ ...base, refresh_token: NEXT.refresh, ...expected });
  });

  test.each<[string, object, RegExp]>([
    ["another client", { client_id: "22422756-60c9-4084-8eb7-27705fd5cf9a" }, /by another client than the login was made with/],
    ["a client that is no text", { client_id: [CLIENT_ID, "x"] }, /by another client/],
    ["an audience", { audience: "https://other.example.com" }, /another thing than the login by audience/],
    ["a resource (RFC 8707)", { resource: ["https://other.example.com"] }, /another thing than the login by resource/],
  ])("%s is refused, with a finding, and the login stays", async (_name, more, message) => {
    await using at = await setting(answered);
    const answer = await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown, more), headers: JSON_TYPE });
    expect([answer.status, at.bodies]).toEqual([403, []]);
    expect(answer.text).toMatch(message);
    expect(answer.text).toContain("refresh.client_ids");
    expect(at.fixture.seen.findings).toMatchObject([{ finding: "secret_out_of_scope", outcome: "deny" }]);
    expect(await readFile(at.path, "utf8")).toBe(loginText(FIRST));
    // a login that was made with it is renewed with it
    if ("client_id" in more && typeof more.client_id === "string") {
      await writeFile(at.path, loginText(FIRST, { clientId: more.client_id }), { mode: 0o600 });
      expect((await fetchInside(at.fixture, TOKEN_URL, { body: refreshOf(at.shown, more), headers: JSON_TYPE })).status).toBe(200);
    }
  });

  test("what no login needs is left out: a token of a year, as Claude Code can ask for, and what nobody knows", async () => {
    await using at = await setting(answered);
    const body = refreshOf(at.shown, { expires_in: 31_536_000, __proto__x: 1, why: "because" });
    expect((await fetchInside(at.fixture, TOKEN_URL, { body, headers: JSON_TYPE })).status).toBe(200);
    expect(at.bodies).toEqual([refreshOf(FIRST.refresh)]);
  });

  test.each(["client_id", "scope", "client_secret"])("two of %s in a form are refused", async (name) => {
    await using at = await setting(answered);
    const members = [
      ["grant_type", "refresh_token"],
      ["refresh_token", at.shown],
      [name, CLIENT_ID],
      [name, CLIENT_ID],
    ] as const;
    const answer = await fetchInside(at.fixture, TOKEN_URL, { body: form(members), headers: FORM });
    expect([answer.status, at.bodies]).toEqual([403, []]);
    expect(answer.text).toContain(`more than one ${name}`);
  });
});
