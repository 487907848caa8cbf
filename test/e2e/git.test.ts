import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runProcess } from "../../src/base/process.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { sentHeader } from "../support/gateway/secret.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";

const HOST = "git.example.com";
const API = "api.git.example.com";
const REAL = "ghp_RealValueOfAToken0123456789abcdef";

/** git's own server behind a password, as CGI (RFC 3875). */
function gitServer(root: string): (request: IncomingMessage, response: ServerResponse) => void {
  const credentials = `Basic ${Buffer.from(`x-access-token:${REAL}`).toString("base64")}`;
  return (request, response) => {
    if (request.headers.host === API)
      return void response
        .writeHead(request.headers.authorization === `token ${REAL}` ? 200 : 401)
        .end(`{"sent":"${request.headers.authorization ?? ""}"}`);
    if (request.headers.authorization !== credentials)
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end("who are you?");
    const [path = "", query = ""] = (request.url ?? "").split("?");
    const child = spawn("git", ["http-backend"], {
      env: {
        PATH: "/usr/bin:/bin",
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        REMOTE_USER: "me",
        REQUEST_METHOD: request.method,
        PATH_INFO: path,
        QUERY_STRING: query,
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    request.pipe(child.stdin);
    child.stdin.on("error", () => undefined);
    const out: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.on("close", () => {
      const all = Buffer.concat(out);
      const end = all.indexOf("\r\n\r\n");
      const headers = all
        .subarray(0, end)
        .toString()
        .split("\r\n")
        .map((line) => line.split(": ", 2) as [string, string]);
      const status = Number(headers.find(([name]) => name === "Status")?.[1]?.slice(0, 3) ?? 200);
      response.writeHead(status, Object.fromEntries(headers.filter(([name]) => name !== "Status"))).end(all.subarray(end + 4));
    });
  };
}

describe("git over https with a token that never enters", requires("bwrap", "curl", "git"), () => {
  it("clones a private repository and pushes to it, and the API takes the same secret", { timeout: 120_000 }, async () => {
    await using dir = await tempDir();
    const git = async (...args: string[]): Promise<string> => {
      const env = { PATH: "/usr/bin:/bin", HOME: dir.path, GIT_CONFIG_NOSYSTEM: "1" };
      const result = await runProcess({ argv: ["git", ...args], env, cwd: dir.path, timeoutMs: 20_000 });
      expect(result.code, result.stderr.toString()).toBe(0);
      return result.stdout.toString();
    };
    await git("init", "-q", "--bare", "-b", "main", "me/private.git");
    await git("-C", "me/private.git", "config", "http.receivepack", "true");
    await git("init", "-q", "-b", "main", "seed");
    await writeFile(join(dir.path, "seed", "README"), "private\n");
    const author = ["-c", "user.name=me", "-c", "user.email=me@example.com"];
    await git("-C", "seed", "add", "README");
    await git("-C", "seed", ...author, "commit", "-qm", "first");
    await git("-C", "seed", "push", "-q", join(dir.path, "me/private.git"), "main");

    await using upstream = await testUpstream(gitServer(dir.path));
    await using at = await installation();
    const ca = join(at.home, "ca.pem");
    await writeFile(ca, upstream.override(HOST).ca ?? "");
    const upstreams = [HOST, API].map(
      (host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${upstream.port}"\nca_file = "${ca}"\n`,
    );
    await at.configure(upstreams.join(""));
    expect(await at.run(["secret", "set", "GH_TOKEN"], { input: `${REAL}\n` })).toMatchObject({ code: 0 });
    const script = `set -e; cd /tmp
      git config --global credential.helper '!f() { echo username=x-access-token; echo password=$GH_TOKEN; }; f'
      git clone -q https://${HOST}/me/private.git && cd private && cat README
      echo "from inside" > NEWS && git add NEWS && git -c user.name=agent -c user.email=agent@example.com commit -qm second
      head -c 300000 /dev/urandom > big && git add big && git -c user.name=agent -c user.email=agent@example.com commit -qm third
      git push -q origin main && git log --oneline origin/main | wc -l
      curl -s -H "authorization: token $GH_TOKEN" https://${API}/user
      grep -r '${REAL.slice(0, 12)}' /tmp "$HOME" || echo "not inside"`;
    const result = await at.run(
      ["run", "--no-workspace", "--secret", `GH_TOKEN:${HOST}`, "--secret", `GH_TOKEN:${API}`, "--", "sh", "-c", script],
      { timeoutMs: 60_000 },
    );
    expect(result.code, result.stderr).toBe(0);
    const out = result.stdout.toString();
    expect(out).toMatch(/^private\n3\n\{"sent":"token ghp_\w+"\}not inside\n$/);
    expect(out + result.stderr).not.toContain(REAL);
    expect(await git("-C", "me/private.git", "show", "main:NEWS")).toBe("from inside\n");
    const sent = upstream.requests.map(({ rawHeaders }) => sentHeader(rawHeaders, "authorization")[0]);
    expect(sent).toContain(`token ${REAL}`);
  });
});
