import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sentHeader } from "../support/gateway/secret.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { requires } from "../support/requires.ts";
import { served, upstreamsTo } from "../support/served.ts";

/** `[secrets]` and `[[secret_files]]`, from the file to what leaves. */

const HOST = "api.corp.example";
const REAL = "real-value-of-the-secret-0123456789abcdef";
const CODE = "curl -s -o /dev/null -m 20 -w '%{http_code} '";

describe("[secrets]", requires("bwrap", "curl"), () => {
  it("header, scheme and query say where a secret may stand", async () => {
    await using upstream = await testUpstream((_request, response) => response.end("ok"));
    await using at = await served(
      async (place) =>
        `[secrets]\nHEADED = { host = "${HOST}", header = "x-key" }\nRAW = { host = "${HOST}", scheme = "raw" }\nASKED = { host = "${HOST}", query = "key" }\n${await upstreamsTo(place, upstream, HOST)}`,
      { env: { HEADED: `${REAL}-h`, RAW: `${REAL}-r`, ASKED: `${REAL}-q` } },
    );
    await at.place.run(["create", "box", "--no-workspace"]);
    const asked = [`-H "x-key: $HEADED" https://${HOST}/`, `-H "authorization: $RAW" https://${HOST}/`, `"https://${HOST}/?key=$ASKED"`];
    expect(await at.inside("box", asked.map((one) => `${CODE} ${one}`).join(";"))).toBe("200 200 200 ");
    // the form of another scheme
    expect(await at.inside("box", `${CODE} -H "authorization: Bearer $RAW" https://${HOST}/`)).toBe("403 ");
    const [headed, raw, query] = upstream.requests;
    expect(sentHeader(headed?.rawHeaders, "x-key")).toEqual([`${REAL}-h`]);
    expect(sentHeader(raw?.rawHeaders, "authorization")).toEqual([`${REAL}-r`]);
    expect(query?.url).toBe(`/?key=${REAL}-q`);
  }, 60_000);
});

const LOGIN = "login.corp.example";
const OTHER = "other.corp.example";
const ACCESS = "access-token-of-mine-0123456789abcdefghijkl";
const REFRESH = "refresh-token-of-mine-0123456789abcdefghijkl";
const NEXT = { access_token: `${ACCESS}-next`, refresh_token: `${REFRESH}-next` };
const NOTE = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789";
const FILE = { access: ACCESS, refresh: REFRESH, note: NOTE, ends: 0, last: "never", scopes: ["read"], client: "client-of-the-file" };

const sectionOf = (path: string): string => `
[[secret_files]]
name = "mine"
path = "${path}"
inside = "~/.mine/login.json"
keep = ["/note"]
[[secret_files.tokens]]
at = "/access"
hosts = ["${HOST}"]
methods = ["GET"]
paths = ["/v1/**"]
[[secret_files.tokens]]
at = "/refresh"
[secret_files.refresh]
url = "https://${LOGIN}/token"
tokens = { access_token = "/access", refresh_token = "/refresh" }
expires_at = "/ends"
refreshed_at = "/last"
scopes = "/scopes"
client_ids = ["client-of-the-section"]
client_id = "/client"
parameters = ["audience"]
`;

describe("[[secret_files]]", requires("bwrap", "curl"), () => {
  it("each key does what it says: tokens, what is shown, and how they are renewed", async () => {
    const refreshes: Record<string, string>[] = [];
    await using upstream = await testUpstream((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        response.setHeader("content-type", "application/json");
        if (request.url !== "/token") return void response.end("{}");
        refreshes.push(JSON.parse(body) as Record<string, string>);
        response.end(JSON.stringify({ ...NEXT, expires_in: 3600 }));
      });
    });
    let path = "";
    await using at = await served(async (place) => {
      path = join(place.home, "..", "mine.json");
      await writeFile(path, JSON.stringify(FILE), { mode: 0o600 });
      return `${sectionOf(path)}${await upstreamsTo(place, upstream, HOST, LOGIN, OTHER)}`;
    });
    const made = await at.place.run(["create", "box", "--no-workspace", "--secret-file", "mine", "--allow", OTHER]);
    expect(made.stderr).not.toContain("error");
    const shown = JSON.parse(await at.inside("box", "cat ~/.mine/login.json")) as typeof FILE;
    expect(shown).toMatchObject({ note: NOTE, scopes: ["read"] });
    expect([shown.access, shown.refresh]).not.toEqual([ACCESS, REFRESH]);

    const call = (more: string): string => `${CODE} -H 'authorization: Bearer ${shown.access}' ${more}`;
    expect(
      await at.inside(
        "box",
        [
          call(`https://${HOST}/v1/a`),
          call(`-X POST https://${HOST}/v1/a`),
          call(`https://${HOST}/v2`),
          call(`https://${OTHER}/v1/a`),
        ].join(";"),
      ),
    ).toBe("200 403 403 403 ");
    expect(sentHeader(upstream.requests[0]?.rawHeaders, "authorization")).toEqual([`Bearer ${ACCESS}`]);

    const refresh = (more: object): string =>
      `${CODE} -H 'content-type: application/json' -d '${JSON.stringify({ grant_type: "refresh_token", refresh_token: shown.refresh, ...more })}' https://${LOGIN}/token`;
    const before = Date.now();
    expect(
      await at.inside(
        "box",
        [
          refresh({ client_id: "a-stranger" }),
          refresh({ client_id: "client-of-the-section", scope: "write", audience: "x", reason: "y" }),
          refresh({ client_id: "client-of-the-file" }),
        ].join(";"),
      ),
    ).toBe("403 200 200 ");
    expect(refreshes[0]).toEqual({
      grant_type: "refresh_token",
      refresh_token: REFRESH,
      client_id: "client-of-the-section",
      scope: "read",
      audience: "x",
    });
    const stored = JSON.parse(await readFile(path, "utf8")) as typeof FILE;
    expect(stored).toMatchObject({ access: NEXT.access_token, refresh: NEXT.refresh_token, note: NOTE });
    expect(stored.ends).toBeGreaterThanOrEqual(before + 3_600_000);
    expect(Date.parse(stored.last)).toBeGreaterThanOrEqual(before);
  }, 60_000);
});
