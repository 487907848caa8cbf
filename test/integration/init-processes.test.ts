import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BackendExec } from "../../src/sandbox/backend.ts";
import { execRequest, finish, isAlive, type RunningInit, runInInit, shell, startInit } from "../support/init-process.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const signal = new AbortController().signal;

let init: RunningInit;
beforeAll(async () => {
  init = await startInit();
});
afterAll(async () => {
  await init[Symbol.asyncDispose]();
});

const run = (...args: Parameters<typeof runInInit> extends [unknown, ...infer R] ? R : never) => runInInit(init.client, ...args);

describe("signals and processes", () => {
  test("kill reaches the whole group", async () => {
    const exec = await init.client.exec(shell("sleep 321 & echo $!; wait"), { signal });
    const pid = Number(await firstLine(exec));
    expect(await isAlive(pid)).toBe(true);
    exec.kill("SIGTERM");
    expect(await exec.exited).toEqual({ code: null, signal: "SIGTERM" });
    await waitFor(async () => !(await isAlive(pid)), { what: "the grandchild to end" });
  });

  test("a handler may answer a signal", async () => {
    const exec = await init.client.exec(shell("trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.01; done"), { signal });
    const lines = exec.stdout[Symbol.asyncIterator]();
    expect(String((await lines.next()).value)).toBe("ready\n");
    exec.kill("SIGINT");
    expect(String((await lines.next()).value)).toBe("caught\n");
    expect(await exec.exited).toEqual({ code: 3, signal: null });
  });

  test("stop and continue", async () => {
    const exec = await init.client.exec(execRequest(["/bin/cat"]), { signal });
    exec.kill("SIGSTOP");
    await waitFor(async () => / T /.test(await readFile(`/proc/${exec.pid}/stat`, "utf8")), { what: "the stop" });
    exec.kill("SIGCONT");
    exec.stdin.end("on again");
    expect((await finish(exec)).stdout).toBe("on again");
  });

  test("signals after the end go nowhere", async () => {
    const exec = await init.client.exec(execRequest(["/bin/true"]), { signal });
    await exec.exited;
    exec.kill("SIGKILL");
    exec.resize({ rows: 1, cols: 1 });
    exec.stdin.write("late");
    expect((await run(shell("echo fine"))).stdout).toBe("fine\n");
  });

  test("a background process that holds the outputs does not hold the exit, and lives on", async () => {
    await using dir = await tempDir();
    const started = performance.now();
    const exec = await init.client.exec(
      shell(`(echo early; while [ ! -e ${dir.path}/stop ]; do echo more; sleep 0.02; done; echo $? >${dir.path}/end) & echo main $!`),
      { signal },
    );
    const { status, stdout } = await finish(exec);
    expect(status).toEqual({ code: 0, signal: null });
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(stdout).toMatch(/^main \d+$/m);
    const pid = Number(/main (\d+)/.exec(stdout)?.[1]);
    expect(await isAlive(pid)).toBe(true);
    // it goes on writing into the pipe that nobody reads any more, without blocking and without SIGPIPE
    await writeFile(join(dir.path, "stop"), "");
    expect(await waitFor(() => readFile(join(dir.path, "end"), "utf8").catch(() => ""))).toBe("0\n");
  });

  test("what a filter behind the command still writes is delivered", async () => {
    const { stdout } = await run(execRequest(["/bin/bash", "-c", "exec > >(cat); echo through a filter"]));
    expect(stdout).toBe("through a filter\n");
  });

  test("an exit waits for a slow reader, and nothing is cut off", async () => {
    const exec = await init.client.exec(shell("(sleep 30) & head -c 300000 /dev/zero"), { signal });
    exec.stderr.resume();
    let over = false;
    void exec.exited.then(() => {
      over = true;
    });
    // the command itself is gone: reaped by init, while 300000 bytes are more than window and stream hold
    await waitFor(async () => !(await isAlive(exec.pid)), { what: "the command to end" });
    expect(over).toBe(false);
    expect(Buffer.concat(await exec.stdout.toArray()).length).toBe(300_000);
    expect(await exec.exited).toEqual({ code: 0, signal: null });
  });

  test("100 commands at once", async () => {
    const results = await Promise.all(Array.from({ length: 100 }, (_, i) => run(shell(`cat; echo ${i}; exit ${i}`), `input ${i} `)));
    results.forEach((result, i) => {
      expect(result).toEqual({ status: { code: i, signal: null }, stdout: `input ${i} ${i}\n`, stderr: "" });
    });
  });

  test("orphans are reaped", async () => {
    await run(shell("i=0; while [ $i -lt 300 ]; do (sleep 0.01 &) ; i=$((i+1)); done"));
    const pid = init.process.pid ?? 0;
    const children = async (): Promise<string> => await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
    await waitFor(async () => (await children()).split(" ").length < 10, { what: "init to have few children again" });
  });
});

async function firstLine(exec: BackendExec): Promise<string> {
  for await (const chunk of exec.stdout as AsyncIterable<Buffer>) {
    // leaving the loop would destroy the stream and break the command's pipe
    exec.stdout.on("data", () => undefined);
    return String(chunk).split("\n")[0] ?? "";
  }
  throw new Error("no output");
}

describe("a terminal", () => {
  const tty = { rows: 30, cols: 100 };

  test("has the size it was given and is the controlling one of a session of its own", async () => {
    const { stdout, stderr, status } = await run(
      shell("stty size; tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; echo to stderr >&2", { tty }),
    );
    expect(stdout).toMatch(/^30 100\r\n\/dev\/pts\/\d+\r\nall\r\nto stderr\r\n/);
    expect(stderr).toBe("");
    expect(status.code).toBe(0);
  });

  test("resizes, and the command is told", async () => {
    const exec = await init.client.exec(shell("trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.01; done", { tty }), {
      signal,
    });
    const chunks: string[] = [];
    exec.stdout.on("data", (chunk: Buffer) => chunks.push(String(chunk)));
    await waitFor(() => chunks.join("").includes("ready"));
    exec.resize({ rows: 51, cols: 132 });
    expect((await exec.exited).code).toBe(0);
    expect(chunks.join("")).toContain("51 132");
  });

  test("turns the interrupt character into a signal", async () => {
    const exec = await init.client.exec(shell("echo ready; sleep 60", { tty }), { signal });
    const chunks: string[] = [];
    exec.stdout.on("data", (chunk: Buffer) => chunks.push(String(chunk)));
    await waitFor(() => chunks.join("").includes("ready"));
    exec.stdin.write("\x03");
    expect(await exec.exited).toMatchObject({ signal: "SIGINT" });
  });

  test.each(["a line\n", "an unfinished line"])("the end of the input ends the command after %j", async (input) => {
    const { stdout, status } = await run(shell("stty -echo; echo ready; cat", { tty }), "");
    expect(status.code).toBe(0);
    expect(stdout).toContain("ready");
    const second = await init.client.exec(shell("stty -echo; echo ready; cat; echo over", { tty }), { signal });
    const chunks: string[] = [];
    second.stdout.on("data", (chunk: Buffer) => chunks.push(String(chunk)));
    await waitFor(() => chunks.join("").includes("ready"));
    second.stdin.end(input);
    expect((await second.exited).code).toBe(0);
    expect(chunks.join("")).toContain(input.trimEnd());
    expect(chunks.join("")).toContain("over");
  });

  test("all output arrives although the session's leader is gone", async () => {
    const exec = await init.client.exec(shell("stty -opost; seq 1 100000", { tty }), { signal });
    await once(exec.stdout, "readable");
    const { stdout } = await finish(exec);
    expect(stdout.endsWith("\n100000\n")).toBe(true);
    expect(stdout.length).toBe(588_895);
  });

  test("a background process that survives the hangup does not hold the exit", async () => {
    const { status, stdout } = await run(shell("nohup sleep 5 & sleep 0.05; echo out", { tty }));
    expect(status.code).toBe(0);
    expect(stdout).toContain("out");
  });
});

describe("the end", () => {
  test("a cut channel kills everything, whatever it ignores", async () => {
    const own = await startInit();
    const exec = await own.client.exec(shell("trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep 654 & echo $$ $!; wait' & wait"), {
      signal,
    });
    const pids = [exec.pid, ...(await firstLine(exec)).split(" ").map(Number)];
    expect(await Promise.all(pids.map(isAlive))).toEqual([true, true, true]);
    own.process.pipe(3).destroy();
    await expect(exec.exited).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
    expect(await own.process.ended).toEqual({ kind: "exited", code: 0 });
    await waitFor(async () => (await Promise.all(pids.map(isAlive))).every((alive) => !alive), { what: "all processes to be gone" });
    await expect(own.client.exec(execRequest(["true"]), { signal })).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
    await own.client.closed;
  });

  test("shutdown does the same, and settles what is open", async () => {
    const own = await startInit();
    const exec = await own.client.exec(execRequest(["/bin/cat"]), { signal });
    const exited = expect(exec.exited).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
    await own.client.shutdown();
    await own.client.shutdown();
    await exited;
    expect(await isAlive(exec.pid)).toBe(false);
    expect(await own.process.ended).toEqual({ kind: "exited", code: 0 });
  });

  test("init that is killed ends every exec", async () => {
    const own = await startInit();
    const exec = await own.client.exec(execRequest(["/bin/cat"]), { signal });
    own.process.kill("SIGKILL");
    await expect(exec.exited).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
    expect(exec.stdout.destroyed).toBe(true);
    // outside of a pid namespace nothing else ends its children
    process.kill(exec.pid, "SIGKILL");
  });
});
