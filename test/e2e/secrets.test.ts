import { writeFile } from "node:fs/promises";
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
});
