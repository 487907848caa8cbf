import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AGENTKERNEL, cli, type CliResult, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";

/** What goes wrong shows as one clear line with a remedy and the right exit code. */

let base: string;
let home: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-bad-"));
  home = stateHome(base);
});

afterEach(() => rmSync(base, { recursive: true, force: true }));

function configured(toml: string): string {
  const file = join(base, "agentkernel.toml");
  writeFileSync(file, toml);
  return file;
}

/** Exactly one error line, at most one hint, nothing else. */
function expectOneLine(result: CliResult, code: number, error: RegExp, hint?: RegExp): void {
  const lines = result.stderr.trim().split("\n");
  expect(lines[0]).toMatch(error);
  expect(lines.length).toBe(hint === undefined ? 1 : 2);
  if (hint !== undefined) expect(lines[1]).toMatch(hint);
  expect(result.code).toBe(code);
  expect(result.stdout.toString()).toBe("");
}

describe("configuration", () => {
  it("an unknown key, with what was probably meant", async () => {
    const file = configured('[egress]\nmod = "enforce"\n');
    expectOneLine(
      await cli(["--config", file, "config", "check"], { home }),
      125,
      /^error\[CONFIG_INVALID\]: .*egress\.mod/,
      /^hint: .*mode/,
    );
    expectOneLine(await cli(["run", "--config", file, "--", "true"], { home }), 125, /^error\[CONFIG_INVALID\]/, /^hint: /);
  });

  it("bad TOML, with the place", async () => {
    const file = configured('[egress\nmode = "enforce"\n');
    expectOneLine(
      await cli(["--config", file, "config", "check"], { home }),
      125,
      /^error\[CONFIG_INVALID\]: .*agentkernel\.toml:1/,
      /^hint: /,
    );
  });

  it("a file that is not there", async () => {
    expectOneLine(
      await cli(["--config", join(base, "none.toml"), "config", "check"], { home }),
      125,
      /^error\[CONFIG_INVALID\]: .*none\.toml/,
      /^hint: /,
    );
  });

  it("a key of a later version is refused, not ignored", async () => {
    const file = configured("[[pool]]\ntarget = 3\n");
    expectOneLine(await cli(["--config", file, "config", "check"], { home }), 125, /^error\[CONFIG_INVALID\]: .*pool/, /^hint: /);
  });

  it("what is in the working directory is never read", async () => {
    writeFileSync(join(base, "agentkernel.toml"), "this is not TOML at all [");
    expect(await cli(["config", "check"], { home, cwd: base })).toMatchObject({ code: 0 });
  });
});

describe("flags", () => {
  it("a key in the place of its name is refused, and not repeated", async () => {
    const refused = await cli(["run", "--secret", "sk-proj-0123456789abcdef:api.openai.com", "--", "true"], { home });
    expectOneLine(refused, 125, /^error\[VALIDATION\]: --secret does not begin with the name of a variable$/, /secret set NAME/);
    expect(refused.stderr).not.toContain("sk-proj");
  });

  it("what the API finds wrong is told in the words of the command line", async () => {
    try {
      expectOneLine(await cli(["create", "a b", "--no-workspace"], { home }), 125, /^error\[VALIDATION\]: name: 1–63 of /);
      expectOneLine(
        await cli(["policy", "check", "https://a.example", "--profile", "lax"], { home }),
        125,
        /^error\[VALIDATION\]: --profile lax: unknown$/,
        /one of permissive/,
      );
      expectOneLine(
        await cli(["hooks", "add", "h", "--event", "on_llm", "--audit", "--batch", "x"], { home }),
        125,
        /^error\[VALIDATION\]: --batch is not /,
      );
      expectOneLine(
        await cli(["llm", "budget", "set", "b", "--unit", "eur", "--limit", "1"], { home }),
        125,
        /^error\[VALIDATION\]: --unit is none of usd, /,
        /write one of/,
      );
    } finally {
      await cli(["serve", "--stop"], { home });
    }
  });

  it.each([
    [["run", "--allow", "https://example.com/x", "--", "true"], /^error\[VALIDATION\]/],
    [["run", "--mount", "nonsense", "--", "true"], /^error\[VALIDATION\]: --mount nonsense/],
    [["run", "--workspace", "/no/such/place", "--", "true"], /^error\[VALIDATION\]: .*does not exist/],
    [["run", "-b", "docker", "--", "true"], /^error\[NOT_IMPLEMENTED\]/],
    [["run", "-i", "alpine", "--", "true"], /^error\[(UNSUPPORTED|VALIDATION)\]/],
    [["run", "-p", "nonsense", "--", "true"], /^error\[VALIDATION\]: --profile/],
    [["run", "--memory", "lots", "--", "true"], /^error\[VALIDATION\]/],
    [["run", "--memory", "900GiB", "--", "true"], /^error\[FORBIDDEN\]/],
    [["run", "-p", "restrictive", "--allow", "a.com", "--", "true"], /^error\[VALIDATION\]/],
    [["run", "--timeout", "soon", "--", "true"], /^error\[VALIDATION\]/],
  ] as const)("%j", async (args, error) => {
    const result = await cli(args, { home, cwd: base });
    expect(result.stderr).toMatch(error);
    expect(result.code).toBe(125);
  });

  it("an unknown one", async () => {
    const result = await cli(["ls", "--no-such-flag"], { home });
    expect(result.stderr).toContain("unknown option");
    expect(result.code).toBe(125);
  });
});

describe("the machine", () => {
  it("a port in use", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    try {
      const result = await cli(["serve", "--port", String(port)], { home });
      expect(result.stderr).toMatch(/error\[PORT_IN_USE\]: .*\nhint: /);
      expect(result.code).toBe(125);
    } finally {
      await new Promise((resolve) => taken.close(resolve));
    }
  });

  it("a state directory that cannot be written", requires("root"), async () => {
    const file = join(base, "file");
    writeFileSync(file, "");
    const result = await cli(["ls"], { home: join(file, "state") });
    expectOneLine(result, 125, /^error\[STATE_UNUSABLE\]/, /^hint: /);
  });

  it("a full disk: refused before anything runs", requires("bwrap", "root"), async () => {
    const full = join(base, "full");
    mkdirSync(full);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=0711", "tmpfs", full]);
    try {
      writeFileSync(join(full, "filler"), Buffer.alloc(1024 * 1024 - 64 * 1024));
      const project = join(base, "project");
      mkdirSync(project);
      chmodSync(project, 0o755);
      const result = await cli(["run", "--", "sh", "-c", "echo ran > /workspace/ran"], { home: full, cwd: project });
      expect(result.stderr).toMatch(/^error\[(DISK_FULL|AUDIT_UNAVAILABLE|STATE_UNUSABLE)\]: /);
      expect(result.stderr).toContain("hint: ");
      expect(result.code).toBe(125);
    } finally {
      execFileSync("umount", ["-l", full]);
    }
  });

  it("an installation whose disk is full, whichever of its files is refused", requires("bwrap", "root"), async () => {
    const full = join(base, "full");
    mkdirSync(full);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m,mode=0711", "tmpfs", full]);
    const filler = join(full, "filler");
    // of a checkout: what is not compiled needs no room
    const env = { NODE_DISABLE_COMPILE_CACHE: "1" };
    try {
      const command = ["run", "--no-workspace", "--", "true"];
      expect(await cli(command, { home: full, cwd: base, env })).toMatchObject({ code: 0, stderr: "" });
      for (const free of [0, 4096, 12_288]) {
        for (const args of [command, ["ls"]]) {
          const { bavail, bsize } = statfsSync(full);
          writeFileSync(filler, Buffer.alloc(bavail * bsize - free));
          expectOneLine(await cli(args, { home: full, cwd: base, env }), 125, /^error\[DISK_FULL\]: /, /^hint: free space on /);
          rmSync(filler);
        }
      }
      expect(await cli(command, { home: full, cwd: base, env })).toMatchObject({ code: 0, stderr: "" });
      expect(await cli(["audit", "verify"], { home: full, env })).toMatchObject({ code: 0 });
    } finally {
      await cli(["serve", "--stop"], { home: full, env });
      execFileSync("umount", ["-l", full]);
    }
  });

  it("a log of the server that is no file", async () => {
    mkdirSync(join(home, "run", "serve.log"), { recursive: true });
    expectOneLine(await cli(["ls"], { home }), 125, /^error\[STATE_UNUSABLE\]: the server's log .*EISDIR/, /^hint: .*mv /);
  });

  it("no user namespaces", requires("bwrap", "root"), async () => {
    // an ordinary user of a user namespace that permits no further ones
    const program = `env HOME=${home} AGENTKERNEL_HOME=${home} XDG_CONFIG_HOME=${home}/config ${AGENTKERNEL} run --no-workspace -- true`;
    const script = `echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all ${program}`;
    const result = execBy(["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "sh", "-c", script]);
    expect(result.stderr).toMatch(/^error\[(BACKEND_UNAVAILABLE|SANDBOX_START_FAILED)\]: .*namespace/m);
    expect(result.stderr).toMatch(/hint: .*max_user_namespaces/);
    expect(result.code).toBe(125);
  });

  it("no bubblewrap", requires("bwrap", "root"), async () => {
    // an empty file over the program, in a mount namespace of its own
    const script = `mount --bind /dev/null /usr/bin/bwrap && exec env HOME=${home} AGENTKERNEL_HOME=${home} XDG_CONFIG_HOME=${home}/config ${AGENTKERNEL} run --no-workspace -- true`;
    const result = execBy(["unshare", "--mount", "sh", "-c", script]);
    expect(result.stderr).toMatch(/^error\[BACKEND_UNAVAILABLE\]: .*bwrap/m);
    expect(result.stderr).toContain("hint: ");
    expect(result.code).toBe(125);
  });
});

function execBy(argv: readonly string[]): { readonly code: number; readonly stderr: string } {
  try {
    execFileSync(argv[0] ?? "", argv.slice(1), { stdio: ["ignore", "pipe", "pipe"], timeout: 30_000 });
    return { code: 0, stderr: "" };
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: Buffer };
    return { code: status, stderr: stderr.toString() };
  }
}
