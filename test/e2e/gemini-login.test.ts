import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { UsageEntry } from "../../src/schema/api.ts";
import { installAgents } from "../support/agents.ts";
import { GOOGLE_CLIENT, GOOGLE_HOSTS, type GoogleLogin, googleLogin } from "../support/google-login.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { tempDir, type TempDir } from "../support/temp.ts";

const CONTENT = "written by an agent";
const INSIDE = "/opt/agents";

async function configured(at: Installation, home: TempDir, login: GoogleLogin): Promise<string> {
  const file = join(home.path, "oauth_creds.json");
  await writeFile(file, login.credsJson, { mode: 0o600 });
  const ca = join(at.home, "ca.pem");
  await writeFile(ca, login.upstream.override("x").ca ?? "");
  const upstreams = GOOGLE_HOSTS.map(
    (host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${login.upstream.port}"\nca_file = "${ca}"`,
  );
  await at.configure(upstreams.join("\n"));
  return file;
}

const stored = async (file: string) => JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;

describe("Gemini CLI after signing in with Google", requires("bwrap", "npm"), () => {
  let agents = "";
  beforeAll(async () => {
    agents = await installAgents();
  }, 300_000);

  test("finishes a task, renewing its token on the way, with placeholders in its file", { timeout: 240_000 }, async () => {
    await using login = await googleLogin();
    await using at = await installation();
    await using home = await tempDir();
    const file = await configured(at, home, login);
    const settings = JSON.stringify({ security: { auth: { selectedType: "oauth-personal" } } });
    const prompt = `Please write the file /workspace/done.txt with the text "${CONTENT}"`;
    const gemini = [`${INSIDE}/node`, `${INSIDE}/node_modules/@google/gemini-cli/bundle/gemini.js`];
    const script = `echo '${settings}' > ~/.gemini/settings.json && "$@" && cat /workspace/done.txt && echo && cat ~/.gemini/oauth_creds.json`;
    const result = await at.run(
      [
        ...["run", "--no-workspace", "--secret-file", `gemini:${file}`, "--mount", `${agents}:${INSIDE}:ro`],
        ...["--", "sh", "-c", script, "sh", ...gemini, "--skip-trust", "--approval-mode", "yolo", "-p", prompt],
      ],
      { timeoutMs: 150_000 },
    );
    const out = result.stdout.toString();
    expect(result.code, result.stderr + out + login.asked.join("\n")).toBe(0);
    expect(out).toContain(CONTENT);
    expect(login.refreshes).toHaveLength(1);
    const refresh = Object.fromEntries(new URLSearchParams(login.refreshes[0]));
    expect(Object.keys(refresh).toSorted()).toEqual(["client_id", "client_secret", "grant_type", "refresh_token"]);
    expect(refresh).toMatchObject({ client_id: GOOGLE_CLIENT, refresh_token: login.refreshToken });
    const bearer = `Bearer ${login.access.at(-1)}`;
    for (const one of ["POST /tokeninfo", "POST /v1internal:loadCodeAssist", "POST /v1internal:streamGenerateContent"])
      expect(login.asked).toContain(`${one} ${bearer}`);
    const held = await stored(file);
    expect(held).toMatchObject({ access_token: login.access.at(-1), refresh_token: login.refreshToken, token_type: "Bearer" });
    expect(Number(held["expiry_date"])).toBeGreaterThan(Date.now() + 30 * 60_000);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    for (const value of [...login.access, login.refreshToken]) expect(out + result.stderr).not.toContain(value);

    // its calls are model calls like others
    const usage = JSON.parse((await at.run(["llm", "usage", "--all", "--json"])).stdout.toString()) as Record<
      string,
      readonly UsageEntry[]
    >;
    const rows = Object.values(usage).flat();
    const sum = (figure: (row: UsageEntry) => number): number => rows.reduce((total, row) => total + figure(row), 0);
    expect(login.sent.length).toBeGreaterThanOrEqual(2);
    expect(rows.map(({ provider, unmetered_requests }) => [provider, unmetered_requests])).toEqual(rows.map(() => ["google", 0]));
    expect(rows.map(({ model }) => model).toSorted()).toEqual([...new Set(login.sent.map(({ model }) => model))].toSorted());
    expect(sum((row) => row.request_count)).toBe(login.sent.length);
    expect(sum((row) => row.total_input_tokens)).toBe(login.sent.reduce((total, { input }) => total + (input ?? 0), 0));
    expect(sum((row) => row.total_output_tokens)).toBe(login.sent.reduce((total, { output }) => total + (output ?? 0), 0));
  });
});

describe("a login of Gemini CLI", requires("bwrap", "curl"), () => {
  test("leaves for Code Assist's methods and for what says whose it is, and for nothing else of Google's", {
    timeout: 120_000,
  }, async () => {
    await using login = await googleLogin();
    await using at = await installation();
    await using home = await tempDir();
    const file = await configured(at, home, login);
    await at.run(["create", "box", "--no-workspace", "--secret-file", `gemini:${file}`, "--allow", "storage.googleapis.com"]);
    const inside = async (script: string): Promise<string> => (await at.run(["exec", "box", "--", "sh", "-c", script])).stdout.toString();
    const token = (name: string): string => `$(sed -n 's/.*"${name}": "\\(.*\\)".*/\\1/p' ~/.gemini/oauth_creds.json)`;
    const bearer = `curl -s -o /tmp/answer -w '%{http_code} ' -H "authorization: Bearer ${token("access_token")}"`;
    const refused = await inside(
      [
        `${bearer} https://storage.googleapis.com/storage/v1/b`,
        `${bearer} https://www.googleapis.com/drive/v3/files`,
        `${bearer} -d '{}' https://cloudcode-pa.googleapis.com/v1internal:setCodeAssistGlobalUserSetting`,
        `${bearer} -d '{}' https://cloudcode-pa.googleapis.com/v1/projects`,
        `${bearer} -d '' https://oauth2.googleapis.com/revoke`,
        `${bearer} -d "token=${token("refresh_token")}" https://oauth2.googleapis.com/revoke`,
        `${bearer} "https://oauth2.googleapis.com/tokeninfo?access_token=${token("access_token")}"`,
      ].join(";"),
    );
    expect(refused).toBe("403 403 403 403 403 403 403 ");
    expect(login.upstream.requests).toEqual([]);
    const form = `-d grant_type=refresh_token -d client_id=${GOOGLE_CLIENT} --data-urlencode "refresh_token=${token("refresh_token")}"`;
    const answer = await inside(`curl -s ${form} -d scope=openid https://oauth2.googleapis.com/token`);
    expect(JSON.parse(answer)).toMatchObject({ token_type: "Bearer", expires_in: 3600 });
    expect(answer).not.toContain(login.access[1]);
    // the scope is the login's
    expect(new URLSearchParams(login.refreshes[0]).get("scope")).toContain("cloud-platform");
    expect(await stored(file)).toMatchObject({ access_token: login.access[1], refresh_token: login.refreshToken });
    expect(await inside(`${bearer} -d '{}' https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist`)).toBe("200 ");
    expect(await inside(`${bearer} https://www.googleapis.com/oauth2/v2/userinfo`)).toBe("200 ");
  });
});
