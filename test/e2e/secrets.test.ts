import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { sentHeader } from "../support/gateway/secret.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

const HOST = "git.example.com";
const FIRST = "glpat-firstrealvalue0000000000000001";
const SECOND = "glpat-secondrealvalue-of-another-length-0002";

let at: Installation;
let upstream: TestUpstream;

beforeAll(async () => {
  at = await installation();
  // as git servers do: credentials are asked for, and what came is echoed
  upstream = await testUpstream((request, response) => {
    if (request.headers.authorization === undefined) response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
    else response.end(`you sent ${request.headers.authorization}\n`);
  });
  const ca = join(at.home, "ca.pem");
  await writeFile(ca, upstream.override(HOST).ca ?? "");
  await at.configure(
    `[[egress.upstreams]]\nhost = "${HOST}"\nurl = "https://localhost:${upstream.port}"\nca_file = "${ca}"\n[secrets]\nSCOPED = { host = "${HOST}", methods = ["GET"], paths = ["/team/**"] }\n`,
  );
});

afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const inside = async (script: string): Promise<string> => (await at.run(["exec", "box", "--", "sh", "-c", script])).stdout.toString();
const lastAuthorization = (): string | undefined => sentHeader(upstream.requests.at(-1)?.rawHeaders, "authorization")[0];

describe("secrets of a running sandbox", requires("bwrap", "curl"), () => {
  it("a rotated value takes effect at once, under the placeholder that the sandbox has", async () => {
    await at.run(["secret", "set", "TOKEN"], { input: FIRST });
    expect(await at.run(["create", "box", "--no-workspace", "--secret", `TOKEN:${HOST}`])).toMatchObject({ code: 0 });
    const placeholder = (await inside("echo $TOKEN")).trim();
    const ask = `curl -s -H "authorization: Bearer ${placeholder}" https://${HOST}/`;
    expect(await inside(ask)).toBe(`you sent Bearer ${placeholder}\n`);
    expect(lastAuthorization()).toBe(`Bearer ${FIRST}`);
    await at.run(["secret", "set", "TOKEN"], { input: SECOND });
    const echo = await inside(ask);
    expect(lastAuthorization()).toBe(`Bearer ${SECOND}`);
    expect(echo).not.toContain(SECOND);
    expect(await inside("echo $TOKEN")).toBe(`${placeholder}\n`);
  });

  it("git's way: user and token as Basic credentials", async () => {
    const echo = await inside(`curl -s -u "x-access-token:$TOKEN" https://${HOST}/repo.git/info/refs`);
    expect(lastAuthorization()).toBe(`Basic ${Buffer.from(`x-access-token:${SECOND}`).toString("base64")}`);
    expect(Buffer.from(echo.split(" ").at(-1) ?? "", "base64").toString()).not.toContain(SECOND);
  });

  it("a secret that is taken away is refused from then on", async () => {
    await at.run(["secret", "rm", "TOKEN"]);
    expect(await inside(`curl -s -o /dev/null -w '%{http_code}' -H "authorization: Bearer $TOKEN" https://${HOST}/`)).toBe("403");
  });

  it("a binding of the configuration holds methods and paths, and `info` shows them", async () => {
    await at.run(["secret", "set", "SCOPED"], { input: FIRST });
    await at.run(["create", "scoped", "--no-workspace"]);
    const info = JSON.parse((await at.run(["info", "scoped", "--json"])).stdout.toString()) as { secrets: string[] };
    expect(info.secrets).toEqual([`SCOPED:${HOST} (methods GET; paths /team/**)`]);
    const codes = await at.run([
      "exec",
      "scoped",
      "--",
      "sh",
      "-c",
      `for a in "-X GET https://${HOST}/team/a" "-X POST https://${HOST}/team/a" "-X GET https://${HOST}/other"; do curl -s -o /dev/null -w '%{http_code} ' -H "authorization: Bearer $SCOPED" $a; done`,
    ]);
    expect(codes.stdout.toString()).toBe("200 403 403 ");
  });

  it("a value may come from a file or a command, and a reference that leads nowhere says so", async () => {
    const file = join(at.home, "..", "token");
    await writeFile(file, `${FIRST}\n`, { mode: 0o600 });
    const before = await readFile(join(at.home, "config/agentkernel/agentkernel.toml"), "utf8");
    const bindings = `FROM_FILE = { host = "${HOST}", from = { file = "${file}" } }\nFROM_COMMAND = { host = "${HOST}", from = { command = ["printf", "%s", "${SECOND}"] } }\n`;
    await at.configure(`${before}${bindings}`);
    const script = `for t in $FROM_FILE $FROM_COMMAND; do curl -s -H "authorization: Bearer $t" https://${HOST}/; done`;
    expect(await at.run(["run", "--no-workspace", "--", "sh", "-c", script])).toMatchObject({ code: 0 });
    const sent = upstream.requests.slice(-2).map(({ rawHeaders }) => sentHeader(rawHeaders, "authorization")[0]);
    expect(sent).toEqual([`Bearer ${FIRST}`, `Bearer ${SECOND}`]);
    await rm(file);
    const failed = await at.run(["run", "--no-workspace", "--", "true"]);
    expect(failed.code).toBe(125);
    expect(failed.stderr).toMatch(/cannot be read \(ENOENT\)/);
    await at.configure(before);
  }, 60_000);
});
