import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { chatgptLogin, type ChatgptLogin } from "../support/chatgpt-login.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

const TOKEN = (name: string): string => `$(sed -n 's/.*"${name}": "\\(.*\\)".*/\\1/p' ~/.codex/auth.json)`;
const REFRESH = `curl -s -w '\\n%{http_code}' -H 'content-type: application/json' -d "{\\"grant_type\\":\\"refresh_token\\",\\"refresh_token\\":\\"${TOKEN("refresh_token")}\\"}" https://auth.openai.com/oauth/token`;
const CALL = `curl -s -o /dev/null -w '%{http_code}' -X POST -d '{}' -H "authorization: Bearer ${TOKEN("access_token")}" https://chatgpt.com/backend-api/codex/responses`;

type Tokens = Readonly<Record<string, string>>;

async function configured(at: Installation, login: ChatgptLogin, shared?: string): Promise<string> {
  const auth = shared ?? join(at.workspace, "..", "auth.json");
  if (shared === undefined) await writeFile(auth, login.authJson, { mode: 0o600 });
  const ca = join(at.home, "ca.pem");
  await writeFile(ca, login.upstream.override("x").ca ?? "");
  const upstreams = ["chatgpt.com", "auth.openai.com"].map(
    (host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${login.upstream.port}"\nca_file = "${ca}"`,
  );
  await at.configure(`${upstreams.join("\n")}\n[[secret_files]]\nname = "codex"\npath = "${auth}"\n`);
  return auth;
}

const tokensOf = async (auth: string): Promise<Tokens> => (JSON.parse(await readFile(auth, "utf8")) as { tokens: Tokens }).tokens;

function answerOf(stdout: Buffer): { readonly status: string; readonly body: Tokens } {
  const [body = "", status = ""] = stdout.toString().trim().split("\n");
  return { status, body: JSON.parse(body) as Tokens };
}

describe("a login that several processes renew", requires("bwrap", "curl"), () => {
  test.each(["one state directory", "two of them"])(
    "is renewed once, and each of them gets what came of it: %s",
    { timeout: 120_000 },
    async (of) => {
      const answers = Promise.withResolvers<void>();
      await using login = await chatgptLogin({ refreshing: () => answers.promise });
      await using at = await installation();
      const auth = await configured(at, login);
      await using apart = await installation();
      const other = of === "two of them" ? apart : at;
      if (other !== at) await configured(other, login, auth);
      // the second begins while the provider still thinks about the first
      const run = (script: string, where: Installation) =>
        where.run(["run", "--no-workspace", "--secret-file", "codex", "--", "sh", "-c", script], { timeoutMs: 60_000 });
      const first = run(REFRESH, at);
      await waitFor(() => login.refreshes.length === 1, { timeoutMs: 30_000 });
      const second = run(`${REFRESH}; echo; ${CALL}`, other);
      // it waits for the first: nothing of it arrives
      const early = await Promise.race([second, waitFor(() => login.refreshes.length > 1, { timeoutMs: 4_000 }).catch(() => "waits")]);
      expect(early).toBe("waits");
      answers.resolve();
      const [one, two] = await Promise.all([first, second]);
      expect(answerOf(one.stdout), one.stderr).toMatchObject({ status: "200" });
      const [body, status] = two.stdout
        .toString()
        .split("\n")
        .filter((line) => line !== "");
      expect(status, two.stderr).toBe("200");
      expect(login.refreshes).toHaveLength(1);
      const [, next] = login.issued;
      const given = JSON.parse(body ?? "") as Tokens & { expires_in: number };
      expect(Object.keys(given).toSorted()).toEqual(["access_token", "expires_in", "id_token", "refresh_token", "token_type"]);
      expect(given.expires_in).toBeGreaterThan(3000);
      for (const value of Object.values(next ?? {})) expect(two.stdout.includes(value)).toBe(false);
      expect(given["access_token"]?.split(".")[1]).toBe(next?.access_token.split(".")[1]);
      expect(await tokensOf(auth)).toMatchObject(next ?? {});
      expect(login.calls.at(-1)).toBe(`Bearer ${next?.access_token}`);
    },
  );

  test("is taken over when the process that renews it is killed", { timeout: 120_000 }, async () => {
    let asked = 0;
    const never = Promise.withResolvers<void>();
    await using login = await chatgptLogin({ refreshing: () => ((asked += 1) === 1 ? never.promise : Promise.resolve()) });
    await using at = await installation();
    const auth = await configured(at, login);
    // killed, not ended: nothing of it can give the lock up
    const killed = at.run(["run", "--no-workspace", "--secret-file", "codex", "--", "sh", "-c", REFRESH], { timeoutMs: 8_000 });
    await waitFor(() => asked === 1, { timeoutMs: 8_000 });
    expect(await killed).toMatchObject({ code: null, signal: "SIGKILL" });
    const result = await at.run(["run", "--no-workspace", "--secret-file", "codex", "--", "sh", "-c", REFRESH], { timeoutMs: 60_000 });
    expect(answerOf(result.stdout), result.stderr).toMatchObject({ status: "200" });
    expect(await tokensOf(auth)).toMatchObject(login.issued[1] ?? {});
    never.reject(new Error("over"));
  });

  test("is finished at the next start, when the process that renewed it was killed before its file could be written", {
    timeout: 120_000,
  }, async () => {
    await using login = await chatgptLogin();
    await using at = await installation();
    const auth = await configured(at, login);
    // its file cannot be replaced meanwhile, by root neither
    const blocked = `${auth}.agentkernel-new`;
    await mkdir(join(blocked, "x"), { recursive: true });
    const run = (script: string, timeoutMs: number) =>
      at.run(["run", "--no-workspace", "--secret-file", "codex", "--", "sh", "-c", script], { timeoutMs });
    const killed = run(`${REFRESH}; sleep 100`, 20_000);
    const journal = join(at.home, "logins");
    await waitFor(async () => (await readdir(journal).catch(() => [])).length === 1, { timeoutMs: 20_000 });
    expect(await killed).toMatchObject({ code: null, signal: "SIGKILL" });
    expect(await tokensOf(auth)).toMatchObject(login.issued[0] ?? {});
    for (const name of await readdir(journal)) {
      const bytes = await readFile(join(journal, name));
      expect((await stat(join(journal, name))).mode & 0o777).toBe(0o600);
      for (const value of login.issued.flatMap((tokens) => Object.values(tokens))) expect(bytes.includes(value)).toBe(false);
    }
    // who reads it meanwhile has the tokens of now
    await run(CALL, 60_000);
    expect(login.calls.at(-1)).toBe(`Bearer ${login.issued[1]?.access_token}`);
    await rm(blocked, { recursive: true });
    // of no sandbox with this file
    expect(await at.run(["run", "--no-workspace", "--", "sleep", "1"], { timeoutMs: 60_000 })).toMatchObject({ code: 0 });
    expect(await tokensOf(auth)).toMatchObject(login.issued[1] ?? {});
    expect(await readdir(journal)).toEqual([]);
    expect(login.refreshes).toHaveLength(1);
  });

  test("keeps what this machine renewed at the same time", { timeout: 120_000 }, async () => {
    const theirs = { access_token: `theirs-access-${"a".repeat(40)}`, refresh_token: `theirs-refresh-${"b".repeat(40)}` };
    let auth = "";
    await using login = await chatgptLogin({
      refreshing: async () => {
        const file = JSON.parse(await readFile(auth, "utf8")) as { tokens: Tokens };
        await writeFile(`${auth}.new`, JSON.stringify({ ...file, tokens: { ...file.tokens, ...theirs } }), { mode: 0o600 });
        await rename(`${auth}.new`, auth);
      },
    });
    await using at = await installation();
    auth = await configured(at, login);
    const result = await at.run(["run", "--no-workspace", "--secret-file", "codex", "--", "sh", "-c", `${REFRESH}; ${CALL}`], {
      timeoutMs: 60_000,
    });
    expect(result.stdout.toString()).toContain("\n200");
    expect(await tokensOf(auth)).toMatchObject(theirs);
    expect(login.calls.at(-1)).toBe(`Bearer ${theirs.access_token}`);
    for (const value of [...Object.values(login.issued[1] ?? {}), ...Object.values(theirs)])
      expect(result.stdout.includes(value)).toBe(false);
  });

  test("is stored although the client left, and the sandbox with it", { timeout: 120_000 }, async () => {
    // a provider that takes longer than the client waits
    await using login = await chatgptLogin({ refreshing: () => setTimeout(9_000) });
    await using at = await installation();
    const auth = await configured(at, login);
    // and long enough for a gateway that is loaded first, on a machine with much to do
    const hasty = REFRESH.replace("curl -s", "curl -s --max-time 5");
    const result = await at.run(["run", "--no-workspace", "--secret-file", "codex", "--", "sh", "-c", hasty], { timeoutMs: 60_000 });
    expect(result.code, result.stderr).toBe(28);
    expect(login.refreshes).toHaveLength(1);
    expect(login.issued).toHaveLength(2);
    expect(await tokensOf(auth)).toMatchObject(login.issued[1] ?? {});
  });
});
