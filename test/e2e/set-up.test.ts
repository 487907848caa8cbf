import { spawn } from "node:child_process";
import { chown, constants, copyFile, cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { runAs, testUser } from "../support/user.ts";

const root = join(import.meta.dirname, "../..");
const bootstrap = join(root, "scripts/bootstrap.mjs");

type End = { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly stdout: string; readonly stderr: string };

async function node(
  args: readonly string[],
  onStdout: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<End> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], timeout: 60_000, killSignal: "SIGKILL" });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    onStdout(stdout, (signal) => child.kill(signal));
  });
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const { promise, resolve, reject } = Promise.withResolvers<End>();
  child.once("error", reject);
  child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  return promise;
}

describe("set-up", () => {
  test("says what is missing, as one line to run, to whom cannot install it", requires("root"), async () => {
    await using user = await testUser();
    const checkout = join(user.home, "checkout");
    await mkdir(join(checkout, "scripts"), { recursive: true });
    // the same program, on a machine without bubblewrap and a compiler
    const text = (await readFile(bootstrap, "utf8")).replaceAll(/"\/usr\/(local\/)?bin\/(bwrap|musl-gcc)"/g, '"/nonexistent"');
    await writeFile(join(checkout, "scripts/bootstrap.mjs"), text);
    const others = ["scripts/set-up.mjs", "scripts/sandbox-user.mjs", "package.json", "package-lock.json"];
    for (const file of others) await cp(join(root, file), join(checkout, file));
    for (const path of ["", "scripts", "scripts/bootstrap.mjs", ...others]) await chown(join(checkout, path), user.uid, user.gid);
    // a copy: the checkout may lie where this user cannot go
    const ownNode = join(user.home, "node");
    await copyFile(process.execPath, ownNode, constants.COPYFILE_FICLONE);
    const result = await runAs(user, [ownNode, "scripts/bootstrap.mjs", "start"], { cwd: checkout });
    expect(result.status).toBe(125);
    expect(result.stdout).toBe("");
    const lines = result.stderr.split("\n").filter((line) => line.includes("apt-get"));
    expect(lines.map((line) => line.trim())).toEqual(["sudo apt-get update && sudo apt-get install -y bubblewrap musl-tools"]);
    expect(await readdir(checkout)).not.toContain("node_modules");
  });

  test.each([
    ["win32", "WSL2"],
    ["darwin", "Linux"],
  ])("names what is supported instead of %s", async (platform, supported) => {
    const pretend = `data:text/javascript,Object.defineProperty(process, "platform", { value: "${platform}" })`;
    const result = await node(["--import", pretend, bootstrap, "start"]);
    expect(result.code).toBe(125);
    expect(result.stderr).toContain(supported);
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
  });

  test("refuses a mode that it does not know", async () => {
    expect(await node([bootstrap, "strat"])).toMatchObject({ code: 125, stdout: "" });
  });

  // Node 20 cannot replace its process by another; the project's Node 24 can
  describe.each([
    ["with execve", "data:text/javascript,"],
    ["without execve", "data:text/javascript,process.execve = undefined"],
  ])("%s the program", (_name, preload) => {
    const script = `process.on("SIGTERM", () => process.exit(7)); setInterval(() => undefined, 1000); process.stdout.write("ready " + process.argv[2]);`;

    test("gets its arguments and its signals, and its exit code is the result", async () => {
      await using dir = await tempDir();
      await writeFile(join(dir.path, "waits.mjs"), script);
      const result = await node(["--import", preload, bootstrap, "exec", join(dir.path, "waits.mjs"), "a b"], (out, kill) => {
        if (out === "ready a b") kill("SIGTERM");
      });
      expect(result).toMatchObject({ code: 7, signal: null, stdout: "ready a b" });
    });

    test("that dies by a signal lets the caller see that", async () => {
      await using dir = await tempDir();
      await writeFile(join(dir.path, "dies.mjs"), 'process.kill(process.pid, "SIGKILL"); setInterval(() => undefined, 1000);');
      expect(await node(["--import", preload, bootstrap, "exec", join(dir.path, "dies.mjs")])).toMatchObject({
        code: null,
        signal: "SIGKILL",
      });
    });
  });
});

describe("the front", () => {
  test("finds itself through symlinks and relative paths", async () => {
    await using dir = await tempDir();
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    const env = { PATH: "/usr/bin:/bin", HOME: dir.path };
    const run = async (script: string): Promise<string> => {
      const child = spawn("sh", ["-c", script], { cwd: dir.path, env: { ...env, ROOT: root }, stdio: ["ignore", "pipe", "inherit"] });
      return Buffer.concat((await child.stdout.toArray()) as Buffer[])
        .toString()
        .trim();
    };
    expect(await run('ln -s "$ROOT/bin/agentkernel" one && ln -s one two && ./two --version')).toBe(version);
    expect(await run('mkdir d && ln -s ../one d/three && cd d && PATH="$PWD:$PATH" three --version')).toBe(version);
    expect(await run('cd "$ROOT/bin" && sh agentkernel --version')).toBe(version);
    expect(await run('cd "$ROOT" && sh bin/agentkernel --version')).toBe(version);
  });

  test("says in one line that a checkout is not set up, whatever Node the caller has", async () => {
    await using dir = await tempDir();
    await mkdir(join(dir.path, "bin"));
    await mkdir(join(dir.path, "src/cli"), { recursive: true });
    await cp(join(root, "bin/agentkernel"), join(dir.path, "bin/agentkernel"));
    await mkdir(join(dir.path, "path"));
    await writeFile(join(dir.path, "path/node"), "#!/bin/sh\necho v20.1.0\n", { mode: 0o755 });
    const child = spawn(join(dir.path, "bin/agentkernel"), ["--version"], {
      env: { PATH: `${dir.path}/path:/bin` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stderr = Buffer.concat((await child.stderr.toArray()) as Buffer[]).toString();
    expect(stderr).toBe(`agentkernel: not set up yet: run npm start in ${dir.path}\n`);
    expect(child.exitCode ?? (await new Promise((resolve) => child.once("exit", resolve)))).toBe(125);
  });
});
