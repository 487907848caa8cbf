import { chmod, chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunOutput, SandboxInfo } from "../../src/schema/api.ts";
import { sentHeader } from "../support/gateway/secret.ts";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { requires } from "../support/requires.ts";
import { type Served, served, upstreamsTo } from "../support/served.ts";
import { waitFor } from "../support/wait-for.ts";

/** Every field of the requests that make sandboxes and run commands, from the body to what it does. */

const HOST = "api.corp.example";
const OTHER = "other.corp.example";
const CODE = "curl -s -o /dev/null -m 20 -w '%{http_code} '";

let at: Served;
let upstream: TestUpstream;
beforeAll(async () => {
  upstream = await testUpstream((_request, response) => response.end("ok"));
  at = await served(async (place) => upstreamsTo(place, upstream, HOST, OTHER));
});
afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const post = (path: string, body: object) => at.api("POST", path, body);
const run = async (script: string, more: object = {}): Promise<RunOutput> => {
  const { body } = await post("/run", { command: ["sh", "-c", script], workspace: null, ...more });
  if (body.data === undefined) throw new Error(body.error);
  return body.data;
};
const directory = async (name: string): Promise<string> => {
  const path = join(at.place.workspace, name);
  await mkdir(path, { recursive: true });
  // what is mounted to be written must be writable for whoever the sandbox runs as
  await chmod(path, 0o777);
  // root's own directory is never worked on directly, asked for or not
  if (process.getuid?.() === 0) await chown(path, 4242, 4242);
  await writeFile(join(path, "file"), "of the host\n");
  return path;
};
const LABELLED = async (label: string): Promise<SandboxInfo | undefined> =>
  ((await at.api("GET", `/sandboxes?label=${encodeURIComponent(label)}`)).body.data as readonly SandboxInfo[] | undefined)?.[0];

describe("what run and create share", requires("bwrap", "curl"), () => {
  it("env, workspace, copy, apply, mounts", async () => {
    const [project, data] = [await directory("project"), await directory("data")];
    const mounts = [
      { source: data, target: "/mnt/read", read_only: true },
      { source: data, target: "/mnt/write" },
    ];
    const script =
      "echo $A; cat /workspace/file /mnt/read/file; echo x > /mnt/read/new; touch /mnt/write/new; echo changed > /workspace/file";
    const first = await run(script, { env: { A: "b" }, workspace: project, copy: true, apply: false, mounts });
    expect(first.stdout).toBe("b\nof the host\nof the host\n");
    expect(first.stderr).toContain("Read-only");
    expect(first.workspace).toMatchObject({ applied: false, modified: 1 });
    expect(await readFile(join(project, "file"), "utf8")).toBe("of the host\n");
    expect((await run(script, { workspace: project, copy: true, apply: true })).workspace).toMatchObject({ applied: true });
    expect(await readFile(join(project, "file"), "utf8")).toBe("changed\n");
    expect(await readFile(join(data, "new"), "utf8")).toBe("");
  }, 60_000);

  it("profile, limits, labels and keep", async () => {
    await run("true", { profile: "permissive", memory_mb: 96, vcpus: 0.5, pids: 24, labels: { team: "one" }, keep: true });
    expect(await LABELLED("team:one")).toMatchObject({
      state: "stopped",
      profile: "permissive",
      limits: { memory: { value: 96 * 1024 ** 2 }, cpu: { value: 0.5 }, pids: { value: 24 } },
    });
    expect(await run("head -c 300000000 /dev/zero | tail > /dev/null", { memory_mb: 96 })).toMatchObject({ exit_code: 137 });
    expect((await run("for i in $(seq 60); do sleep 9 & done; echo all", { pids: 24 })).stdout).toBe("");
    expect(await LABELLED("team:two")).toBeUndefined();
  }, 60_000);

  it("allow, secrets in both forms with each of their keys", async () => {
    const scoped = {
      name: "SCOPED",
      host: HOST,
      value: "the-value-of-scoped-0123456789",
      header: "x-key",
      methods: ["GET"],
      paths: ["/v1/**"],
    };
    const asked = { name: "ASKED", host: HOST, value: "the-value-of-asked-0123456789", query: "key" };
    const raw = { name: "RAW", host: HOST, value: "the-value-of-raw-0123456789", scheme: "raw" };
    const keyed = (rest: string): string => `${CODE} -H "x-key: $SCOPED" ${rest}`;
    const { stdout } = await run(
      [
        `${CODE} https://${OTHER}/`,
        keyed(`https://${HOST}/v1/a`),
        keyed(`-X POST https://${HOST}/v1/a`),
        keyed(`https://${HOST}/v2`),
        `${CODE} "https://${HOST}/?key=$ASKED"`,
        `${CODE} -H "authorization: $RAW" https://${HOST}/`,
        `${CODE} -H "authorization: Bearer $SHORT" https://${HOST}/`,
        `${CODE} -H "authorization: Bearer $RAW" https://${HOST}/`,
        `${CODE} https://nobody.example/`,
      ].join(";"),
      { allow: [OTHER], secrets: [scoped, asked, raw, `SHORT=the-value-of-short-0123456789:${HOST}`] },
    );
    expect(stdout).toBe("200 200 403 403 200 200 200 403 403 ");
    const sent = upstream.requests.slice(-4);
    expect(sentHeader(sent[0]?.rawHeaders, "x-key")).toEqual([scoped.value]);
    expect(sent[1]?.url).toBe(`/?key=${asked.value}`);
    expect(sentHeader(sent[2]?.rawHeaders, "authorization")).toEqual([raw.value]);
    expect(sentHeader(sent[3]?.rawHeaders, "authorization")).toEqual(["Bearer the-value-of-short-0123456789"]);
  }, 60_000);

  it("allow_host_ports and secret_files of run", async () => {
    await using service = await testUpstream((_request, response) => response.end("of this machine"), { tls: false });
    const login = join(at.place.home, "..", "auth.json");
    const token = "access-token-of-codex-0123456789abcdefghijklmnopq";
    await writeFile(login, JSON.stringify({ tokens: { access_token: token, refresh_token: `${token}-r` } }), { mode: 0o600 });
    const { stdout } = await run(`curl -s http://host.agentkernel.internal:${service.port}/; cat ~/.codex/auth.json`, {
      allow_host_ports: [service.port],
      secret_files: [`codex:${login}`],
    });
    expect(stdout).toMatch(/^of this machine\{/);
    expect(stdout).toContain("access_token");
    expect(stdout).not.toContain(token);
  }, 60_000);

  it("apply, allow_host_ports and secret_files of create", async () => {
    await using service = await testUpstream((_request, response) => response.end("here "), { tls: false });
    const [project, login] = [await directory("applied"), join(at.place.home, "..", "login.json")];
    await writeFile(login, JSON.stringify({ tokens: { access_token: "access-token-of-codex-0123456789abcdefghijkl" } }), { mode: 0o600 });
    const more = { allow_host_ports: [service.port], secret_files: [`codex:${login}`] };
    await post("/sandboxes", { name: "applied", workspace: project, copy: true, apply: true, ...more });
    const script = `curl -s http://host.agentkernel.internal:${service.port}/; test -e ~/.codex/auth.json && echo both; echo x > /workspace/new`;
    expect(await at.inside("applied", script)).toBe("here both\n");
    expect((await post("/sandboxes/applied/stop", {})).body.data).toContain("workspace changes written back: 1 created");
  }, 60_000);

  it.each([
    [{ template: "x" }, /templates are not available/],
    [{ backend: "docker" }, /backend docker is not available/],
    [{ image: "alpine" }, /image/],
  ])("%j is refused by name", async (more, why) => {
    for (const [path, body] of [
      ["/run", { command: ["true"] }],
      ["/sandboxes", { name: "none" }],
    ] as const) {
      const { status, body: answer } = await post(path, { ...body, workspace: null, ...more });
      expect([status >= 400, answer.error]).toEqual([true, expect.stringMatching(why)]);
    }
  });
});

describe("commands", requires("bwrap"), () => {
  it("workdir, stdin and timeout_ms of run", async () => {
    expect((await run("pwd; cat", { workdir: "/tmp", stdin: "given" })).stdout).toBe("/tmp\ngiven");
    expect(await run("sleep 30", { timeout_ms: 100 })).toMatchObject({ reason: "timeout", exit_code: 124 });
  }, 60_000);

  it("every field of create, exec and detach", async () => {
    const project = await directory("created");
    const made = await post("/sandboxes", {
      name: "box",
      ttl: "2h",
      profile: "permissive",
      env: { A: "b" },
      vcpus: 0.5,
      memory_mb: 96,
      pids: 24,
      workspace: project,
      copy: true,
      mounts: [{ source: project, target: "/mnt/x", read_only: true }],
      secrets: [`KEY=the-value-of-the-key-0123456789:${HOST}`],
      allow: [OTHER],
      labels: { team: "three" },
    });
    const info = made.body.data as unknown as SandboxInfo;
    expect(info).toMatchObject({
      name: "box",
      profile: "permissive",
      allow: [OTHER],
      labels: { team: "three" },
      secrets: [expect.stringContaining(`KEY:${HOST}`)],
      workspace: { path: project, mode: "copy" },
      limits: { memory: { value: 96 * 1024 ** 2 }, cpu: { value: 0.5 }, pids: { value: 24 } },
    });
    expect(Date.parse(info.expires_at ?? "") - Date.now()).toBeGreaterThan(3_600_000);
    const extended = await post("/sandboxes/box/extend", { by: "1h" });
    expect(Date.parse((extended.body.data as unknown as { expires_at: string }).expires_at) - Date.parse(info.expires_at ?? "")).toBe(
      3_600_000,
    );

    const exec = async (body: object): Promise<RunOutput> => (await post("/sandboxes/box/exec", body)).body.data as unknown as RunOutput;
    const script = ["sh", "-c", "echo $A $B; pwd; ls /mnt/x; cat"];
    expect((await exec({ command: script, env: ["B=c"], workdir: "/tmp", stdin: "given" })).stdout).toBe("b c\n/tmp\nfile\ngiven");
    expect(await exec({ command: ["sleep", "30"], timeout_ms: 100 })).toMatchObject({ reason: "timeout" });
    expect((await post("/sandboxes/box/exec", { command: ["id"], sudo: true })).body).toMatchObject({ code: "UNSUPPORTED" });

    const detach = async (body: object): Promise<{ id: string }> =>
      (await post("/sandboxes/box/exec/detach", body)).body.data as unknown as { id: string };
    const { id } = await detach({ command: ["sh", "-c", "echo $B; pwd"], env: ["B=c"], workdir: "/tmp" });
    const logs = async () => (await at.api("GET", `/sandboxes/box/exec/detached/${id}/logs`)).body.data as unknown as { stdout?: string };
    await waitFor(async () => (await logs()).stdout === "c\n/tmp\n", { what: "its output", timeoutMs: 10_000 });
    const late = await detach({ command: ["sleep", "30"], timeout_ms: 100 });
    const status = async () =>
      ((await at.api("GET", `/sandboxes/box/exec/detached/${late.id}`)).body.data as unknown as { status: string }).status;
    await waitFor(async () => (await status()) !== "running", { what: "its end", timeoutMs: 10_000 });
    expect((await post("/sandboxes/box/exec/detach", { command: ["id"], sudo: true })).body).toMatchObject({ code: "UNSUPPORTED" });
  }, 60_000);
});

describe("PUT /policy", requires("bwrap"), () => {
  const put = (body: object) => at.api("PUT", "/policy", body);
  type Report = { readonly generation: number; readonly rules: readonly { readonly id: string }[] };
  const verdicts = async (rule: object, ...urls: readonly string[]): Promise<readonly string[]> => {
    expect((await put({ rules: [{ host: "a.com", effect: "allow", ...rule }] })).status).toBe(200);
    const check = async (url: string) =>
      (await at.api("GET", `/policy/check?url=${encodeURIComponent(url)}`)).body.data as unknown as { verdict: string };
    return Promise.all(urls.map(async (url) => (await check(url)).verdict));
  };

  it("decides by each field of a rule", async () => {
    expect(await verdicts({}, "https://a.com/", "https://b.com/")).toEqual(["allow", "deny"]);
    expect(await verdicts({ effect: "deny" }, "https://a.com/")).toEqual(["deny"]);
    expect(await verdicts({ ports: [8443] }, "https://a.com:8443/", "https://a.com/")).toEqual(["allow", "deny"]);
    expect(await verdicts({ methods: ["POST"] }, "https://a.com/")).toEqual(["deny"]);
    expect(await verdicts({ paths: ["/x/*"] }, "https://a.com/x/1", "https://a.com/y")).toEqual(["allow", "deny"]);
    await post("/sandboxes", { name: "ruled", workspace: null });
    expect(await verdicts({ sandbox: "ruled" }, "https://a.com/")).toEqual(["deny"]);
  }, 60_000);

  it("keeps a rule that is named, and refuses what is the file's and another generation", async () => {
    const first = (await put({ rules: [{ host: "a.com", effect: "allow" }] })).body.data as unknown as Report;
    const again = (await put({ rules: first.rules, generation: first.generation })).body.data as unknown as Report;
    expect(again.rules).toEqual(first.rules);
    for (const field of [
      { generation: first.generation + 7 },
      { file: "/etc/other.toml" },
      { default: "allow" },
      { mode: "observe" },
      { locked: true },
      { rules: [{ source: "file", host: "a.com", effect: "allow" }] },
    ])
      expect(await put({ rules: [], ...field }), JSON.stringify(field)).toMatchObject({ status: 409, body: { code: "CONFLICT" } });
  });
});

it("PUT /llm/keys/{target} names a secret, and keeps the value that comes with it", async () => {
  const put = (body: object) => at.api("PUT", "/llm/keys/groq", body);
  expect((await put({ vault_key_name: "NOBODY_SET_THIS" })).status).toBe(404);
  const { body } = await put({ vault_key_name: "GROQ_ORG", value: "gsk_0123456789abcdef0123456789" });
  expect(body.data).toMatchObject({ vault_key_name: "GROQ_ORG", available: true });
});
