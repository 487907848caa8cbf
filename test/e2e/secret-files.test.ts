import { readdirSync, readFileSync, statSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createStandIn } from "../../src/demo/stand-in.ts";
import { installAgents } from "../support/agents.ts";
import { chatgptLogin, type ChatgptLogin } from "../support/chatgpt-login.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { tempDir, type TempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const CONTENT = "written by an agent";
const INSIDE = "/opt/agents";

/** A sandbox program that looks for texts everywhere it can read; they come in with one bit of each byte changed. */
const SEARCH = `
import os, sys
needles = [bytes(b ^ 1 for b in bytes.fromhex(x)) for x in sys.argv[1:]]
hits = []
for root, dirs, files in os.walk("/"):
    dirs[:] = [d for d in dirs if os.path.join(root, d) not in ("/sys", "/usr", "/dev", "/opt")]
    for name in files:
        path = os.path.join(root, name)
        try:
            if path.startswith("/proc/") and name not in ("environ", "cmdline"): continue
            data = open(path, "rb").read(1 << 24) if os.path.isfile(path) else b""
        except OSError: continue
        if any(n in data for n in needles): hits.append(path)
print("hits", hits)
`;

const hidden = (text: string): string => Buffer.from(Buffer.from(text).map((byte) => byte ^ 1)).toString("hex");

async function configured(at: Installation, home: TempDir, login: ChatgptLogin): Promise<string> {
  const auth = join(home.path, "auth.json");
  await writeFile(auth, login.authJson, { mode: 0o600 });
  const ca = join(at.home, "ca.pem");
  await writeFile(ca, login.upstream.override("x").ca ?? "");
  const upstreams = ["chatgpt.com", "auth.openai.com"].map(
    (host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${login.upstream.port}"\nca_file = "${ca}"`,
  );
  await at.configure(`${upstreams.join("\n")}\n[[secret_files]]\nname = "codex"\npath = "${auth}"\n`);
  return auth;
}

describe("Codex with a ChatGPT login", requires("bwrap", "npm", "python3"), () => {
  let agents = "";
  beforeAll(async () => {
    agents = await installAgents();
  }, 300_000);

  test("finishes a task, renewing its tokens on the way, and none of them is ever inside", { timeout: 240_000 }, async () => {
    await using login = await chatgptLogin();
    await using at = await installation();
    await using home = await tempDir();
    const auth = await configured(at, home, login);
    await at.run(["create", "box", "--secret-file", "codex", "--mount", `${agents}:${INSIDE}:ro`]);
    const prompt = `Please write the file /workspace/done.txt with the text "${CONTENT}"`;
    const codex = [`${INSIDE}/node`, `${INSIDE}/node_modules/@openai/codex/bin/codex.js`, "exec", "--skip-git-repo-check"];
    const flags = ["--dangerously-bypass-approvals-and-sandbox", "-c", 'model="gpt-5.6-terra"', prompt];
    const result = await at.run(["exec", "box", "--", ...codex, ...flags], { timeoutMs: 150_000 });
    expect(result.code, result.stderr).toBe(0);
    expect((await at.run(["exec", "box", "--", "cat", "/workspace/done.txt"])).stdout.toString()).toBe(CONTENT);
    expect(login.refreshes.length, JSON.stringify(login.calls.length)).toBeGreaterThanOrEqual(1);
    expect(login.issued.length).toBe(login.refreshes.length + 1);
    // it says why, and asks for no scope
    const refresh = {
      grant_type: "refresh_token",
      refresh_token: login.issued[0]?.refresh_token,
      client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
    };
    expect(JSON.parse(login.refreshes[0] ?? "")).toEqual({ ...refresh, refresh_reason: expect.any(String) as string });
    expect(login.calls.at(-1)).toBe(`Bearer ${login.issued.at(-1)?.access_token}`);
    // the built-in provider asks where the account's workspace lies before it calls a model; its plugins get nowhere
    expect(login.asked).toContain("GET /backend-api/wham/accounts/check");
    expect(login.asked.filter((one) => /\/(?:plugins|ps)\//.test(one))).toEqual([]);

    // what was renewed is kept on the host, for its owner alone
    const stored = JSON.parse(await readFile(auth, "utf8")) as { tokens: Record<string, string>; last_refresh: string };
    expect(stored.tokens).toEqual({ ...login.issued.at(-1), account_id: "11111111-2222-4333-8444-555555555555" });
    expect(Date.now() - Date.parse(stored.last_refresh)).toBeLessThan(10 * 60_000);
    expect(statSync(auth).mode & 0o777).toBe(0o600);

    // and inside there are placeholders only
    const inside = (await at.run(["exec", "box", "--", "cat", "/home/agent/.codex/auth.json"])).stdout.toString();
    const seen = JSON.parse(inside) as { tokens: Record<string, string> };
    const real = login.issued.flatMap((tokens) => Object.values(tokens));
    for (const value of real) expect(inside).not.toContain(value);
    const claims = (token: string | undefined): unknown =>
      JSON.parse(Buffer.from((token ?? "").split(".")[1] ?? "", "base64url").toString());
    expect(claims(seen.tokens["access_token"])).toEqual(claims(login.issued.at(-1)?.access_token));
    const search = await at.run(["exec", "box", "--", "python3", "-c", SEARCH, ...real.map((value) => hidden(value.slice(-64)))]);
    expect(search.stdout.toString()).toBe("hits []\n");
    const audit = (await at.run(["audit", "tail", "--json", "-n", "500"])).stdout.toString();
    const info = (await at.run(["info", "box", "--json"])).stdout.toString();
    expect(JSON.parse(info)).toMatchObject({ secret_files: ["codex:~/.codex/auth.json"] });
    for (const value of real) expect(audit + info + result.stderr + result.stdout.toString()).not.toContain(value.slice(-64));
    for (const file of filesBelow(at.home)) {
      const bytes = readFileSync(file);
      for (const value of real) expect(bytes.includes(value.slice(-64)), file).toBe(false);
    }
  });
});

describe("Claude Code after /login", requires("bwrap", "npm"), () => {
  let agents = "";
  beforeAll(async () => {
    agents = await installAgents();
  }, 300_000);

  test("finishes a task, renewing its token on the way, with placeholders in its file", { timeout: 240_000 }, async () => {
    await using standIn = await createStandIn();
    await using home = await tempDir();
    await using at = await installation();
    const first = { access: `sk-ant-oat01-first${"A".repeat(60)}`, refresh: `sk-ant-ort01-first${"B".repeat(60)}` };
    const next = { access: `sk-ant-oat01-second${"C".repeat(70)}`, refresh: `sk-ant-ort01-second${"D".repeat(60)}` };
    const refreshes: string[] = [];
    await using login = await testUpstream((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        if (request.url === "/v1/oauth/token") refreshes.push(body);
        response.writeHead(request.url === "/v1/oauth/token" ? 200 : 404, { "content-type": "application/json" });
        response.end(
          JSON.stringify({
            access_token: next.access,
            refresh_token: next.refresh,
            expires_in: 28_800,
            scope: "user:inference user:profile",
          }),
        );
      });
    });
    const ca = join(home.path, "ca.pem");
    await writeFile(ca, `${standIn.caPem}\n${login.override("x").ca ?? ""}`);
    const upstreams = [
      ["api.anthropic.com", standIn.origin],
      ["platform.claude.com", `https://localhost:${login.port}`],
    ].map(([host, url]) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "${url}"\nca_file = "${ca}"\n`);
    await at.configure(upstreams.join(""));
    const file = join(home.path, "credentials.json");
    const oauth = {
      accessToken: first.access,
      refreshToken: first.refresh,
      expiresAt: Date.now() - 60_000,
      scopes: ["user:inference", "user:profile"],
      subscriptionType: "max",
    };
    await writeFile(file, JSON.stringify({ claudeAiOauth: oauth }), { mode: 0o600 });
    const claude = `${INSIDE}/node_modules/@anthropic-ai/claude-code-linux-${process.arch}/claude`;
    const prompt = `Please write the file /workspace/done.txt with the text "${CONTENT}"`;
    const script = `"$@" && cat /workspace/done.txt && echo && cat ~/.claude/.credentials.json`;
    const result = await at.run(
      [
        ...[
          "run",
          "--no-workspace",
          "--secret-file",
          `claude-code:${file}`,
          "--mount",
          `${agents}:${INSIDE}:ro`,
          "-e",
          "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
        ],
        ...["--", "sh", "-c", script, "sh", claude, "-p", prompt, "--permission-mode", "acceptEdits", "--allowedTools", "Write"],
      ],
      { timeoutMs: 150_000 },
    );
    const out = result.stdout.toString();
    expect(result.code, result.stderr + out).toBe(0);
    expect(out).toContain(CONTENT);
    expect(refreshes).toHaveLength(1);
    // it asks for more than the login has
    const scope = "user:inference user:profile";
    expect(JSON.parse(refreshes[0] ?? "")).toMatchObject({ grant_type: "refresh_token", refresh_token: first.refresh, scope });
    expect(standIn.requests.filter(({ path }) => path.startsWith("/v1/messages")).at(-1)?.key).toBe(`Bearer ${next.access}`);
    const stored = JSON.parse(await readFile(file, "utf8")) as {
      claudeAiOauth: { accessToken: string; refreshToken: string; expiresAt: number };
    };
    expect(stored.claudeAiOauth).toMatchObject({ accessToken: next.access, refreshToken: next.refresh });
    expect(stored.claudeAiOauth.expiresAt).toBeGreaterThan(Date.now() + 7 * 3600_000);
    for (const value of [...Object.values(first), ...Object.values(next)]) expect(out + result.stderr).not.toContain(value);
  });
});

describe("a secret file", requires("bwrap", "curl"), () => {
  test("tokens leave for their hosts alone, and a refresh for its endpoint alone", { timeout: 120_000 }, async () => {
    await using login = await chatgptLogin();
    await using at = await installation();
    await using home = await tempDir();
    const auth = await configured(at, home, login);
    await at.run(["create", "box", "--no-workspace", "--secret-file", "codex", "--allow", "example.com"]);
    const inside = async (script: string): Promise<string> => (await at.run(["exec", "box", "--", "sh", "-c", script])).stdout.toString();
    const token = (name: string): string => `$(sed -n 's/.*"${name}": "\\(.*\\)".*/\\1/p' ~/.codex/auth.json)`;
    const status = "curl -s -o /tmp/answer -w '%{http_code} '";
    const codes = await inside(
      [
        `${status} -H "authorization: Bearer ${token("access_token")}" https://chatgpt.com/backend-api/accounts`,
        `${status} -H "authorization: Bearer ${token("refresh_token")}" https://auth.openai.com/oauth/token`,
        `${status} -H "authorization: Bearer ${token("access_token")}" https://auth.openai.com/oauth/token`,
        `${status} -d "{\\"refresh_token\\":\\"${token("refresh_token")}\\"}" https://chatgpt.com/backend-api/codex/responses`,
        `${status} -d "{\\"refresh_token\\":\\"${token("refresh_token")}\\"}" https://auth.openai.com/oauth/revoke`,
        `${status} -d "{\\"x\\":[\\"${token("refresh_token")}\\"]}" https://auth.openai.com/oauth/token`,
      ].join(";"),
    );
    expect(codes).toBe("403 403 403 403 403 403 ");
    expect(login.upstream.requests).toEqual([]);

    // a refresh by hand: the answer is masked, the file has the new tokens, the placeholders go on being good
    const before = await inside(`echo ${token("refresh_token")}`);
    const answer = await inside(
      `curl -s -H 'content-type: application/json' -d "{\\"grant_type\\":\\"refresh_token\\",\\"refresh_token\\":\\"${token("refresh_token")}\\"}" https://auth.openai.com/oauth/token`,
    );
    expect(login.refreshes).toHaveLength(1);
    expect(login.refreshes[0]).toContain(login.issued[0]?.refresh_token);
    const shown = JSON.parse(answer) as Record<string, string>;
    expect(`${shown["refresh_token"]}\n`).toBe(before);
    expect(shown["expires_in"]).toBe(3600);
    for (const value of Object.values(login.issued[1] ?? {})) expect(answer).not.toContain(value);
    expect(await readFile(auth, "utf8")).toContain(login.issued[1]?.refresh_token);
    // the copy from before the refresh still works, with the token of now
    await inside(
      `${status} -X POST -d '{}' -H "authorization: Bearer ${token("access_token")}" https://chatgpt.com/backend-api/codex/responses`,
    );
    expect(login.calls.at(-1)).toBe(`Bearer ${login.issued[1]?.access_token}`);

    // started again it has the tokens of now, under the placeholders it had; and what an agent on the host renews reaches it
    await at.run(["stop", "box"]);
    expect(await at.run(["start", "box"])).toMatchObject({ code: 0 });
    expect(await inside(`echo ${token("refresh_token")}`)).toBe(before);
    expect(await inside("stat -c '%a %U' ~/.codex/auth.json")).toMatch(/^600 /);
    const renewed = (await readFile(auth, "utf8")).replace(
      login.issued[1]?.access_token ?? "",
      "access-token-that-the-host-renewed-0123456789",
    );
    await writeFile(auth, renewed, { mode: 0o600 });
    await waitFor(async () => {
      await inside(
        `curl -s -X POST -d '{}' -H "authorization: Bearer ${token("access_token")}" https://chatgpt.com/backend-api/codex/responses`,
      );
      return login.calls.at(-1) === "Bearer access-token-that-the-host-renewed-0123456789";
    });
  });

  test("one that cannot be read, that others may write, or that is none is refused", { timeout: 60_000 }, async () => {
    await using login = await chatgptLogin();
    await using at = await installation();
    await using home = await tempDir();
    const auth = await configured(at, home, login);
    const create = async (...files: string[]) => {
      const { code, stderr } = await at.run(["create", "box", "--no-workspace", ...files.flatMap((file) => ["--secret-file", file])]);
      expect(code).not.toBe(0);
      return stderr;
    };
    expect(await create("unknown")).toMatch(/there is no secret file unknown[\s\S]*codex, claude-code/);
    expect(await create("codex:/nowhere/auth.json")).toMatch(/cannot be read \(ENOENT\)[\s\S]*log in/);
    await chmod(auth, 0o666);
    expect(await create("codex")).toMatch(/can be written by others[\s\S]*chmod 600/);
    await chmod(auth, 0o600);
    await writeFile(auth, '{"tokens": {}}');
    expect(await create("codex")).toMatch(/holds none of \/tokens\/access_token/);
    await writeFile(auth, "rt_something that is not JSON");
    const stderr = await create("codex");
    expect(stderr).toMatch(/is not JSON/);
    expect(stderr).not.toContain("rt_something");
  });
});

function filesBelow(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(path, entry.name)) : entry.isFile() ? [join(path, entry.name)] : [],
  );
}
