import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cli, startCli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

/** Sandboxes that live in a server: their lifecycle, and what is left when the server is killed. */

let base: string;
let home: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-server-"));
  home = stateHome(base);
});

afterEach(async () => {
  await cli(["serve", "--stop"], { home });
  rmSync(base, { recursive: true, force: true });
});

const run = (...args: string[]) => cli(args, { home });

function serverPid(): number {
  return (JSON.parse(readFileSync(join(home, "run/serve.lock.holder"), "utf8")) as { pid: number }).pid;
}

/** Live processes whose root file system or command line names this state directory. */
function processesOf(marker: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      if (/\) [ZX] /.test(stat)) return false;
      return (
        readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(marker) || readFileSync(`/proc/${pid}/environ`, "latin1").includes(marker)
      );
    } catch {
      return false; // gone meanwhile
    }
  });
}

describe("a sandbox in a server that the command line started", requires("bwrap"), () => {
  it("is created, used, stopped, started, and keeps its home", async () => {
    expect(await run("create", "box", "--no-workspace", "--label", "team=a")).toMatchObject({ code: 0 });
    expect((await run("exec", "box", "--", "sh", "-c", "echo kept > ~/file; echo out; echo err >&2; exit 9")).code).toBe(9);
    const info = JSON.parse((await run("info", "box", "--json")).stdout.toString()) as { state: string; limits: object };
    expect(info).toMatchObject({ state: "running", profile: "moderate", limits: { memory: { enforced_by: expect.any(String) } } });
    expect((await run("stop", "box")).code).toBe(0);
    const stopped = await run("exec", "box", "--", "true");
    expect(stopped).toMatchObject({ code: 125 });
    expect(stopped.stderr).toContain("agentkernel start box");
    expect((await run("start", "box")).code).toBe(0);
    expect((await run("exec", "box", "--", "cat", "/home/agent/file")).stdout.toString()).toBe("kept\n");
    expect(JSON.parse((await run("ls", "--label", "team=a", "--json")).stdout.toString())).toHaveLength(1);
    expect((await run("rm", "box")).code).toBe(0);
    expect((await run("info", "box")).stderr).toContain("error[NOT_FOUND]");
  });

  it("has the limit of its heap, in the background too", async () => {
    await run("create", "box", "--no-workspace");
    const flags = readFileSync(`/proc/${serverPid()}/cmdline`, "latin1").split("\0").slice(1, 3);
    expect(flags).toEqual(["--max-semi-space-size=16", "--scavenger-max-new-space-capacity-mb=1"]);
  });

  it("passes stdin of an exec on and keeps bytes exact", async () => {
    await run("create", "box", "--no-workspace");
    const input = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 256));
    const result = await cli(["exec", "-i", "box", "--", "cat"], { home, input });
    expect(result.stdout.equals(input)).toBe(true);
  });

  it("runs detached commands and keeps their output", async () => {
    await run("create", "box", "--no-workspace");
    const id = (await run("exec", "-d", "box", "--", "sh", "-c", "echo from the background")).stdout.toString().trim();
    expect(id).toMatch(/^exe_/);
    await waitFor(async () => (await run("logs", "box", id)).stdout.toString() === "from the background\n", {
      what: "the output",
      timeoutMs: 10_000,
    });
    expect((await run("logs", "-n", "1", "box", id)).stderr).toContain("--lines, --follow and --json are for events");
  });

  it("refuses a second sandbox of the same name, and a name that is none", async () => {
    await run("create", "box", "--no-workspace");
    expect((await run("create", "box", "--no-workspace")).stderr).toContain("error[CONFLICT]");
    expect((await run("create", "-bad-", "--no-workspace")).code).toBe(125);
    expect((await run("create", "bad..", "--no-workspace")).stderr).toContain("error[VALIDATION]");
  });

  it("dies with a killed server, leaves no process, and is found stopped with home and workspace kept", async () => {
    // what other tests of this machine run is none of it
    const box = `killed-${process.pid}`;
    const project = join(base, "project");
    mkdirSync(project);
    writeFileSync(join(project, "before"), "x");
    await cli(["create", box], { home, cwd: project });
    await run("exec", box, "--", "sh", "-c", "echo one > ~/file; echo two > /workspace/inside");
    await run("exec", "-d", box, "--", "sh", "-c", "exec sleep 12345");
    expect(processesOf("12345").length).toBeGreaterThan(0);
    process.kill(serverPid(), "SIGKILL");
    await waitFor(() => processesOf("12345").length === 0, { what: "the sandbox's processes to end", timeoutMs: 10_000 });
    await waitFor(() => processesOf(`AGENTKERNEL_SANDBOX=${box}`).length === 0, { what: "the end of the rest", timeoutMs: 20_000 });
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(home);

    const listed = JSON.parse((await run("ls", "--json")).stdout.toString()) as { name: string; state: string; reason: string }[];
    expect(listed).toMatchObject([{ name: box, state: "stopped", reason: "agentkernel ended while it ran" }]);
    expect((await run("start", box)).code).toBe(0);
    const kept = await run("exec", box, "--", "sh", "-c", "cat ~/file /workspace/inside /workspace/before");
    expect(kept.stdout.toString()).toBe("one\ntwo\nx");
    const verified = await run("audit", "verify");
    expect([0, 3]).toContain(verified.code);
  });

  it("ends a running command in order, says so, and knows afterwards what ran detached", async () => {
    const workspace = join(base, "work");
    mkdirSync(workspace);
    writeFileSync(join(workspace, "file"), "before");
    await cli(["create", "box", "--copy", "--profile", "moderate", "--workspace", workspace], { home });
    await run("exec", "box", "--", "sh", "-c", "echo after > file");
    const ended = (await run("exec", "-d", "box", "--", "echo", "x")).stdout.toString().trim();
    const running = (await run("exec", "-d", "box", "--", "sh", "-c", "echo begun; exec sleep 1000")).stdout.toString().trim();
    const said = (id: string, text: string) => async () => (await run("logs", "box", id)).stdout.toString() === text;
    await waitFor(said(ended, "x\n"), { what: "the first output", timeoutMs: 10_000 });
    await waitFor(said(running, "begun\n"), { what: "the second output", timeoutMs: 10_000 });
    const attached = run("exec", "box", "--", "sh", "-c", "echo up > ~/up; exec sleep 1000");
    await waitFor(async () => (await run("exec", "box", "--", "cat", "/home/agent/up")).code === 0, { what: "it runs", timeoutMs: 10_000 });

    const stop = await run("serve", "--stop");
    expect(stop.stderr).toContain("and with it 1 running sandbox");
    expect(await attached).toMatchObject({ code: 137 });

    // another server knows what the first one kept
    expect((await run("logs", "box", running)).stdout.toString()).toBe("begun\n");
    expect((await run("logs", "box", ended)).stdout.toString()).toBe("x\n");
    const removed = await run("rm", "box");
    const kept = /1 modified.* the copy is kept at (\/.*)$/m.exec(removed.stderr)?.[1] ?? "";
    expect(readFileSync(join(kept, "file"), "utf8")).toBe("after\n");
    expect(readFileSync(join(workspace, "file"), "utf8")).toBe("before");
    // some twenty starts of the program: on a machine that is busy with other things each takes a second
  }, 90_000);

  it("removes a sandbox whose time is over", async () => {
    await run("create", "box", "--no-workspace", "--ttl", "1s");
    await waitFor(async () => (await run("ls", "--json")).stdout.toString().trim() === "[]", {
      what: "the sandbox to be removed",
      timeoutMs: 15_000,
    });
    expect(existsSync(join(home, "sandboxes"))).toBe(true);
    expect(readdirSync(join(home, "sandboxes"))).toEqual([]);
  });
});

describe("agentkernel serve", requires("bwrap", "curl"), () => {
  it("says where it listens once it is ready, answers there, and ends on SIGTERM", async () => {
    const server = startCli(["serve", "--port", "0"], { home });
    let output = "";
    server.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const url = await waitFor(() => /^listening on (http:\/\/127\.0\.0\.1:\d+)\n/.exec(output)?.[1], {
      what: "the line",
      timeoutMs: 15_000,
    });
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ success: true, data: "ok" });
    const answer = await fetch(`${url}/run`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ command: ["sh", "-c", "echo hello; exit 3"], fast: true }),
    });
    expect(await answer.json()).toMatchObject({ success: true, data: { output: "hello\n", exit_code: 3 } });
    expect(await (await fetch(`${url}/openapi.json`)).json()).toMatchObject({ openapi: "3.1.0" });
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("agentkernel_");
    const second = await run("serve", "--port", "0");
    expect(second).toMatchObject({ code: 125 });
    expect(second.stderr).toContain("error[STATE_LOCKED]");
    const ended = new Promise<number | null>((resolve) => server.once("close", resolve));
    server.kill("SIGTERM");
    expect(await ended).toBe(0);
  });
});
