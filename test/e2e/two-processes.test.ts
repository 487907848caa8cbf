import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ownIdentity } from "../../src/base/process-identity.ts";
import type { SandboxInfo } from "../../src/schema/api.ts";
import { cli, startCli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

let base: string;
let home: string;
let project: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-two-"));
  home = stateHome(base);
  project = join(base, "project");
  mkdirSync(project);
  writeFileSync(join(project, "here"), "before");
});

afterEach(async () => {
  await ak("serve", "--stop");
  rmSync(base, { recursive: true, force: true });
});

const ak = (...args: string[]) => cli(args, { home, cwd: project });
const list = async (): Promise<readonly SandboxInfo[]> => JSON.parse((await ak("ls", "--json")).stdout.toString()) as SandboxInfo[];
const folders = (): string[] => readdirSync(join(home, "sandboxes"));

/** A `run` whose command says that it runs and then waits for its stdin to end. */
async function running(...more: string[]) {
  const child = startCli(["run", ...more, "--", "sh", "-c", "echo made > new; echo ready; cat > /dev/null; exit 5"], {
    home,
    cwd: project,
  });
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  await waitFor(() => output.includes("ready"), { what: "the command", timeoutMs: 20_000 });
  return { child, closed };
}

describe("run beside serve on one state directory", requires("bwrap"), () => {
  it("leaves a sandbox to the process that runs it", async () => {
    const { child, closed } = await running();
    const [shown] = await list();
    expect(shown).toMatchObject({ state: "running" });
    for (const command of ["rm", "stop", "start"]) {
      const result = await ak(command, shown?.name ?? "");
      expect(result.code).toBe(125);
      expect(result.stderr).toContain("belongs to another agentkernel process");
    }
    child.stdin?.end();
    expect(await closed).toBe(5);
    expect(readFileSync(join(project, "new"), "utf8")).toBe("made\n");
    expect(await list()).toEqual([]);
    expect(folders()).toEqual([]);
  }, 60_000);

  it("clears up after a run that was killed", async () => {
    const { child, closed } = await running("--no-workspace");
    child.kill("SIGKILL");
    await closed;
    expect((await ak("run", "--no-workspace", "--", "true")).code).toBe(0);
    expect(await list()).toEqual([]);
    expect(folders()).toEqual([]);
  }, 60_000);

  it("keeps the changed copy of a run that was killed, stopped", async () => {
    const { child, closed } = await running("--copy");
    child.kill("SIGKILL");
    await closed;
    expect((await ak("run", "--no-workspace", "--", "true")).code).toBe(0);
    const [left] = await list();
    expect(left).toMatchObject({ state: "stopped", reason: expect.stringContaining("holds changes") });
    expect(readFileSync(join(home, "sandboxes", left?.uuid ?? "", "workspace", "new"), "utf8")).toBe("made\n");
    expect(existsSync(join(project, "new"))).toBe(false);
    expect((await ak("rm", left?.name ?? "")).code).toBe(0);
  }, 60_000);

  it("starts one server for ten commands at once, and all succeed", async () => {
    const results = await Promise.all(Array.from({ length: 10 }, () => ak("ls", "--json")));
    expect(results.map(({ code, stderr }) => [code, stderr])).toEqual(results.map(() => [0, ""]));
  }, 60_000);
});

it("serve --stop leaves a process alone that has the number of a server in another container", async () => {
  const bystander = spawn("sleep", ["60"], { stdio: "ignore" });
  const gone = once(bystander, "exit");
  try {
    mkdirSync(join(home, "run"), { mode: 0o700 });
    const elsewhere = { ...ownIdentity(), pid: bystander.pid, startTicks: "1", pidNamespace: "1" };
    writeFileSync(join(home, "run", "serve.lock.holder"), JSON.stringify(elsewhere));
    const result = await ak("serve", "--stop");
    expect(result.stderr).toContain("another container");
    expect(result.code).toBe(125);
    expect(bystander.signalCode).toBeNull();
  } finally {
    bystander.kill("SIGKILL");
    expect(await gone).toEqual([null, "SIGKILL"]);
    rmSync(join(home, "run", "serve.lock.holder"));
  }
});
