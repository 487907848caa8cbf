import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cli, startCli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";

let base: string;
let home: string;
let project: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-run-"));
  home = stateHome(base);
  project = join(base, "project");
  mkdirSync(project);
});

afterEach(() => rmSync(base, { recursive: true, force: true }));

const run = (...command: string[]) => cli(["run", "--", ...command], { home, cwd: project });

describe("agentkernel run", requires("bwrap"), () => {
  it("exits with the command's own code", async () => {
    expect(await run("sh", "-c", "exit 7")).toMatchObject({ code: 7 });
    expect(await run("true")).toMatchObject({ code: 0, stderr: "" });
  });

  it("exits 128+n for a signal, 127 for a missing command, 126 for one that cannot be executed", async () => {
    expect(await run("sh", "-c", "kill -TERM $$")).toMatchObject({ code: 143 });
    const missing = await run("no-such-command-here");
    expect(missing.code).toBe(127);
    expect(missing.stderr).toContain("error[EXEC_NOT_FOUND]");
    expect(await run("/etc/passwd")).toMatchObject({ code: 126 });
  });

  it("writes into the workspace on the host", async () => {
    const result = await run("sh", "-c", "pwd; echo made inside > made.txt");
    expect(result.code).toBe(0);
    expect(result.stdout.toString()).toBe("/workspace\n");
    expect(readFileSync(join(project, "made.txt"), "utf8")).toBe("made inside\n");
    expect(statSync(join(project, "made.txt")).uid).toBe(statSync(project).uid);
  });

  it("gives no workspace with --no-workspace", async () => {
    writeFileSync(join(project, "here.txt"), "x");
    const result = await cli(["run", "--no-workspace", "--", "sh", "-c", "ls /workspace; echo x > /workspace/new"], { home, cwd: project });
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout.toString()).toBe("");
    expect(existsSync(join(project, "new"))).toBe(false);
  });

  it("passes 100 MB of binary stdin and stdout unchanged", async () => {
    const input = randomBytes(100 * 1024 * 1024);
    const result = await cli(["run", "--", "cat"], { home, cwd: project, input, timeoutMs: 110_000 });
    expect(result.code).toBe(0);
    expect(result.stdout.length).toBe(input.length);
    expect(hash(result.stdout)).toBe(hash(input));
  }, 120_000);

  it("keeps stdout and stderr apart", async () => {
    const result = await run("sh", "-c", "echo out; echo err >&2");
    expect(result.stdout.toString()).toBe("out\n");
    expect(result.stderr).toBe("err\n");
  });

  it("hands Ctrl-C to the command", async () => {
    const child = startCli(["run", "--", "sh", "-c", "trap 'echo got INT; exit 3' INT; echo ready; while :; do sleep 0.05; done"], {
      home,
      cwd: project,
    });
    let output = "";
    const code = await new Promise<number | null>((resolve) => {
      child.stdout?.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (output === "ready\n") child.kill("SIGINT");
      });
      child.once("close", resolve);
    });
    expect(output).toBe("ready\ngot INT\n");
    expect(code).toBe(3);
  });

  it("ends a command after --timeout with 124", async () => {
    const result = await cli(["run", "--timeout", "1s", "--", "sleep", "60"], { home, cwd: project });
    expect(result.code).toBe(124);
    expect(result.stderr).toContain("was ended after 1s");
  });

  it("runs two at once that do not touch", async () => {
    const other = join(base, "other");
    mkdirSync(other);
    const script =
      "echo $0 > /workspace/mine; echo $0 > /tmp/shared; sleep 0.5; cat /workspace/mine /tmp/shared; ls /proc | grep -c '^[0-9]'";
    const [one, two] = await Promise.all([
      cli(["run", "--", "sh", "-c", script, "one"], { home, cwd: project }),
      cli(["run", "--", "sh", "-c", script, "two"], { home, cwd: other }),
    ]);
    expect(one.stdout.toString()).toMatch(/^one\none\n[1-6]\n$/);
    expect(two.stdout.toString()).toMatch(/^two\ntwo\n[1-6]\n$/);
  });

  it("prints what the API returns with --json", async () => {
    const result = await cli(["run", "--json", "--", "sh", "-c", "echo out; echo err >&2; exit 4"], { home, cwd: project });
    expect(result.code).toBe(4);
    expect(JSON.parse(result.stdout.toString())).toMatchObject({ exit_code: 4, stdout: "out\n", stderr: "err\n" });
  });

  it("passes no environment of the host but what is asked for", async () => {
    const result = await cli(["run", "-e", "GIVEN=1", "-e", "PASSED", "--", "env"], {
      home,
      cwd: project,
      env: { HOST_CANARY: "canary", PASSED: "through" },
    });
    const env = result.stdout.toString();
    expect(env).toContain("GIVEN=1\n");
    expect(env).toContain("PASSED=through\n");
    expect(env).toContain("HOME=/home/agent\n");
    expect(env).not.toContain("canary");
  });

  it("refuses a secret's value on the command line with the line that stores it", async () => {
    const result = await cli(["run", "--secret", "KEY=abc:api.openai.com", "--", "true"], { home, cwd: project });
    expect(result.code).toBe(125);
    expect(result.stderr).toContain("secret set KEY");
    expect(result.stderr).not.toContain("abc");
  });

  it("leaves no sandbox behind", async () => {
    await run("true");
    const listed = await cli(["ls", "--json"], { home });
    expect(JSON.parse(listed.stdout.toString())).toEqual([]);
    await cli(["serve", "--stop"], { home });
  });
});

describe("agentkernel run in a workspace that root owns", requires("bwrap", "root"), () => {
  it("works on a copy, writes it back and names what runs on the host later", async () => {
    mkdirSync(join(project, ".git/hooks"), { recursive: true });
    const result = await run("sh", "-c", "id -u; echo x > .git/hooks/pre-commit; echo y > new.txt");
    expect(result.code).toBe(0);
    expect(readFileSync(join(project, "new.txt"), "utf8")).toBe("y\n");
    expect(statSync(join(project, "new.txt")).uid).toBe(0);
    expect(result.stderr).toContain(".git/hooks/pre-commit");
  });

  it("applies nothing when the host changed meanwhile, keeps the copy and exits 125", async () => {
    const child = startCli(["run", "--", "sh", "-c", "echo ready; read line; echo inside > file.txt"], { home, cwd: project });
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => {
      child.stdout?.once("data", () => {
        writeFileSync(join(project, "host.txt"), "changed on the host");
        child.stdin?.end("go\n");
      });
      child.once("close", resolve);
    });
    expect(code).toBe(125);
    expect(existsSync(join(project, "file.txt"))).toBe(false);
    const kept = /kept at (\S+)/.exec(stderr)?.[1];
    expect(readFileSync(join(kept ?? "", "file.txt"), "utf8")).toBe("inside\n");
  });

  it("runs as the owner of a workspace that somebody else owns", async () => {
    const { chownSync, chmodSync } = await import("node:fs");
    chownSync(project, 12_345, 12_345);
    chmodSync(project, 0o700);
    const result = await run("sh", "-c", "echo mine > owned.txt");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(statSync(join(project, "owned.txt"))).toMatchObject({ uid: 12_345 });
  });
});

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
