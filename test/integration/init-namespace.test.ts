import { chmod, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { guestProgram } from "../../src/backends/init/program.ts";
import { execRequest, type RunningInit, runInInit, shell, startInit } from "../support/init-process.ts";
import { requires } from "../support/requires.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

/** init as pid 1 of a pid namespace, commands with the very same uid: as in every sandbox. */
describe("init as pid 1 beside commands of the same uid", requires("bwrap"), () => {
  const signal = new AbortController().signal;
  let dir: TempDir;
  let init: RunningInit;

  beforeAll(async () => {
    dir = await tempDir({ mode: 0o755 });
    const program = join(dir.path, "init");
    init = await startInit({
      ...(process.getuid?.() === 0 ? { owner: { uid: 65534, gid: 65534 } } : {}),
      wrap: ([, ...args]) => [
        "/usr/bin/bwrap",
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--as-pid-1",
        "--die-with-parent",
        "--new-session",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--",
        program,
        ...args,
      ],
      prepare: async () => {
        await copyFile(guestProgram("init"), program);
        await chmod(program, 0o755);
      },
    });
  });
  afterAll(async () => {
    await init[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  const run = (...args: Parameters<typeof runInInit> extends [unknown, ...infer R] ? R : never) => runInInit(init.client, ...args);

  test("is pid 1 and shares the uid of its commands", async () => {
    const { stdout } = await run(shell("grep -E '^(Name|Uid):' /proc/1/status; id -u"));
    const uids = /Uid:\t(\d+).*\n(\d+)/.exec(stdout);
    expect(stdout).toMatch(/^Name:\tinit$/m);
    expect(uids?.[1]).toBe(uids?.[2]);
  });

  test("no signal from inside ends or stops it", async () => {
    const { stdout } = await run(
      shell("for s in $(seq 1 64); do [ $s = 32 ] || [ $s = 33 ] || kill -$s 1 2>/dev/null; done; grep State /proc/1/status; echo sent"),
    );
    expect(stdout).toContain("sent");
    expect(stdout).not.toMatch(/State:\s[TtZX]/);
    expect((await run(shell("echo alive"))).stdout).toBe("alive\n");
  });

  test("kill -9 -1 ends the commands and not init", async () => {
    const sleeper = await init.client.exec(execRequest(["/bin/sleep", "100"]), { signal });
    await run(shell("kill -9 -1"));
    expect(await sleeper.exited).toEqual({ code: null, signal: "SIGKILL" });
    expect((await run(shell("echo alive"))).stdout).toBe("alive\n");
  });

  test("its memory, descriptors and root are closed to them", async () => {
    const { stdout } = await run(
      shell(
        "for f in mem environ maps; do head -c1 /proc/1/$f >/dev/null 2>&1 && echo open $f; done; for d in fd root cwd; do ls /proc/1/$d/ >/dev/null 2>&1 && echo open $d; done; echo end",
      ),
    );
    expect(stdout).toBe("end\n");
  });

  test("a terminal works, with the interrupt character", async () => {
    const exec = await init.client.exec(shell("stty size; tty; sleep 60", { tty: { rows: 9, cols: 77 } }), { signal });
    const chunks: string[] = [];
    exec.stdout.on("data", (chunk: Buffer) => chunks.push(String(chunk)));
    await waitFor(() => /\/dev\/pts\/\d+/.test(chunks.join("")));
    expect(chunks.join("")).toContain("9 77");
    exec.stdin.write("\x03");
    expect(await exec.exited).toMatchObject({ signal: "SIGINT" });
  });

  test("5,000 orphans leave no zombie, and commands start meanwhile", async () => {
    const storm = await init.client.exec(
      execRequest(["/usr/bin/perl", "-e", "for (1..5000) { my $p = fork; if (!$p) { fork or exit 0; exit 0 } waitpid $p, 0 }"]),
      { signal },
    );
    const started = performance.now();
    expect((await run(shell("echo meanwhile"))).stdout).toBe("meanwhile\n");
    expect(performance.now() - started).toBeLessThan(5_000);
    expect((await storm.exited).code).toBe(0);
    await waitFor(async () => (await run(shell("cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true"))).stdout === "0\n", {
      what: "no zombies",
    });
  });

  test("the cut channel ends the namespace", async () => {
    const sleeper = await init.client.exec(shell("trap '' TERM; setsid sleep 432 & sleep 432"), { signal });
    init.process.pipe(3).destroy();
    await expect(sleeper.exited).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
    expect((await init.process.ended).kind).toBe("exited");
  });
});
