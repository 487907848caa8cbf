import { existsSync } from "node:fs";
import { chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SandboxInfo } from "../../src/schema/api.ts";
import { startCli } from "../support/cli.ts";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { upstreamsTo } from "../support/served.ts";
import { waitFor } from "../support/wait-for.ts";

/** Options of `run`, `create` and `exec`, from the command line to what is seen inside. */

const HOST = "api.corp.example";
const CODE = "curl -s -o /dev/null -m 20 -w '%{http_code}'";

let at: Installation;
let upstream: TestUpstream;
let data: string;
beforeAll(async () => {
  upstream = await testUpstream((_request, response) => response.end("ok"));
  at = await installation();
  await at.configure(await upstreamsTo(at, upstream, HOST));
  data = join(at.workspace, "data");
  await mkdir(data);
  await chmod(data, 0o777);
  // root's own directory is never worked on directly, asked for or not
  if (process.getuid?.() === 0) await chown(data, 4242, 4242);
  await writeFile(join(data, "file"), "of the host\n");
});
afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const infoOf = async (name: string): Promise<SandboxInfo> =>
  JSON.parse((await at.run(["info", name, "--json"])).stdout.toString()) as SandboxInfo;

describe.each(["run", "create"] as const)("%s", requires("bwrap", "curl"), (command) => {
  /** What a script prints in a sandbox that was made with these options. */
  const inside = async (script: string, ...options: readonly string[]): Promise<string> => {
    if (command === "run") return (await at.run(["run", ...options, "--", "sh", "-c", script])).stdout.toString();
    const made = await at.run(["create", "box", ...options]);
    expect(made.stderr).not.toContain("error[");
    const printed = (await at.run(["exec", "box", "--", "sh", "-c", script])).stdout.toString();
    await at.run(["rm", "box"]);
    return printed;
  };

  it("--env, --mount, --workspace, --no-workspace, --allow", async () => {
    const script = `echo $A; cat /mnt/x/file; touch /mnt/x/new 2> /dev/null || echo read-only; ls /workspace; ${CODE} https://${HOST}/`;
    expect(await inside(script, "--workspace", data, "-e", "A=b", "--mount", `${data}:/mnt/x:ro`, "--allow", HOST)).toBe(
      "b\nof the host\nread-only\nfile\n200",
    );
    expect(await inside(script, "--no-workspace")).toBe("\nread-only\n403");
  }, 60_000);

  it("--secret, --secret-file, --allow-host-port", async () => {
    await at.run(["secret", "set", "A_KEY"], { input: "the-value-of-the-key-0123456789" });
    const login = join(at.home, "..", "login.json");
    await writeFile(login, JSON.stringify({ tokens: { access_token: "access-token-of-codex-0123456789abcdefghijkl" } }), { mode: 0o600 });
    await using service = await testUpstream((_request, response) => response.end("here "), { tls: false });
    const options = ["--secret", `A_KEY:${HOST}`, "--secret-file", `codex:${login}`, "--allow-host-port", String(service.port)];
    const script = `curl -s http://host.agentkernel.internal:${service.port}/; test -n "$A_KEY" && test -e ~/.codex/auth.json && echo both`;
    expect(await inside(script, "--no-workspace", ...options)).toBe("here both\n");
  }, 60_000);

  it("--copy and --apply", async () => {
    const run = (...options: readonly string[]): Promise<string> => inside("echo x > /workspace/changed", "--workspace", data, ...options);
    await run("--copy");
    expect(existsSync(join(data, "changed"))).toBe(false);
    await run("--copy", "--apply");
    expect(existsSync(join(data, "changed"))).toBe(true);
    await rm(join(data, "changed"));
  }, 60_000);

  it.each([
    ["--template", "x", "templates are not available"],
    ["--backend", "docker", "backend docker is not available"],
    ["--image", "alpine", "image"],
  ])("%s %s is refused by name", async (option, value, why) => {
    const tail = command === "run" ? ["--", "true"] : [];
    const name = command === "run" ? [] : ["none"];
    const { code, stderr } = await at.run([command, ...name, "--no-workspace", option, value, ...tail]);
    expect([code === 0, stderr]).toEqual([false, expect.stringContaining(why)]);
  });
});

describe("run", requires("bwrap"), () => {
  it("--profile, --label, --keep and --workdir", async () => {
    const { stdout } = await at.run([
      "run",
      "--no-workspace",
      "-p",
      "permissive",
      "--label",
      "is=kept",
      "--keep",
      "--workdir",
      "/tmp",
      "--",
      "pwd",
    ]);
    expect(stdout.toString()).toBe("/tmp\n");
    const [kept] = JSON.parse((await at.run(["ls", "--label", "is=kept", "--json"])).stdout.toString()) as SandboxInfo[];
    expect(kept).toMatchObject({ profile: "permissive", state: "stopped", labels: { is: "kept" } });
  }, 60_000);
});

describe("create", requires("bwrap"), () => {
  it("--profile, --label, --ttl", async () => {
    expect(await at.run(["create", "made", "--no-workspace", "--ttl", "2h", "-p", "permissive", "--label", "is=made"])).toMatchObject({
      code: 0,
    });
    const info = await infoOf("made");
    expect(info).toMatchObject({ profile: "permissive", labels: { is: "made" } });
    expect(Date.parse(info.expires_at ?? "") - Date.now()).toBeGreaterThan(3_600_000);
  }, 60_000);
});

describe("exec", requires("bwrap"), () => {
  it("-e, -w, --timeout, -i, -d, -t, and logs -f", async () => {
    await at.run(["create", "used", "--no-workspace"]);
    const printed = await at.run(["exec", "-i", "-e", "A=b", "-w", "/tmp", "used", "--", "sh", "-c", "echo $A; pwd; cat"], {
      input: "given",
    });
    expect(printed.stdout.toString()).toBe("b\n/tmp\ngiven");
    expect((await at.run(["exec", "used", "--", "cat"], { input: "not given" })).stdout.toString()).toBe("");
    expect(await at.run(["exec", "--timeout", "1s", "used", "--", "sleep", "30"])).toMatchObject({ code: 124 });
    expect((await at.run(["exec", "-d", "used", "--", "true"])).stdout.toString()).toMatch(/^exe_/);
    expect((await at.run(["exec", "-t", "used", "--", "true"])).stderr).toContain("-t needs a terminal");
    expect(await at.run(["exec", "-t", "--no-tty", "used", "--", "true"])).toMatchObject({ code: 0 });
    const following = startCli(["logs", "used", "-n", "1", "-f", "--json"], { home: at.home });
    const ended = new Promise((resolve) => following.once("exit", resolve));
    let said = "";
    following.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    try {
      await waitFor(() => said.includes("\n"), { what: "the past", timeoutMs: 20_000 });
      await at.run(["exec", "used", "--", "echo", "afterwards"]);
      await waitFor(() => said.includes("afterwards"), { what: "what follows", timeoutMs: 20_000 });
      for (const line of said.trim().split("\n")) expect(JSON.parse(line)).toMatchObject({ sandbox: "used" });
    } finally {
      following.kill("SIGINT");
      await ended;
    }
  }, 60_000);
});
