import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exitCodeOf, runProcess, startProcess } from "../../src/base/process.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const env = { PATH: "/usr/bin:/bin" };

test("a command sees exactly the environment it was given", async () => {
  const result = await runProcess({ argv: ["env"], env: { ...env, ONLY: "this" }, timeoutMs: 5000 });
  expect(result.stdout.toString().trim().split("\n").sort()).toEqual(["ONLY=this", "PATH=/usr/bin:/bin"]);
});

test("exit codes, signals and a failed start are told apart", async () => {
  expect((await runProcess({ argv: ["sh", "-c", "exit 7"], env, timeoutMs: 5000 })).code).toBe(7);
  expect((await runProcess({ argv: ["sh", "-c", "kill -9 $$"], env, timeoutMs: 5000 })).code).toBe(137);
  await expect(runProcess({ argv: ["/no/such/file"], env, timeoutMs: 5000 })).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("output past the bound is dropped and said so", async () => {
  const result = await runProcess({ argv: ["head", "-c", "300000", "/dev/zero"], env, maxBytes: 1000, timeoutMs: 5000 });
  expect(result.stdout.length).toBe(1000);
  expect(result.truncated).toBe(true);
});

test("input reaches the command, and one that does not read it is no error", async () => {
  expect((await runProcess({ argv: ["cat"], env, input: "abc", timeoutMs: 5000 })).stdout.toString()).toBe("abc");
  expect((await runProcess({ argv: ["true"], env, input: Buffer.alloc(5_000_000), timeoutMs: 5000 })).code).toBe(0);
});

test("the deadline ends a command, and a grandchild that holds its pipes does not hold us", async () => {
  const before = performance.now();
  await expect(runProcess({ argv: ["sh", "-c", "trap '' TERM; sleep 20 & sleep 20"], env, timeoutMs: 200 })).rejects.toMatchObject({
    code: "TIMEOUT",
  });
  expect(performance.now() - before).toBeLessThan(3000);
});

test("who gives up does not wait for a grandchild in a session of its own that holds the pipes", async () => {
  await using dir = await tempDir();
  const file = join(dir.path, "pid");
  const giveUp = new AbortController();
  const running = runProcess({
    argv: ["sh", "-c", `setsid sh -c 'echo $$ > ${file}; exec sleep 20' & sleep 20`],
    env,
    timeoutMs: 20_000,
    graceMs: 100,
    signal: giveUp.signal,
  });
  running.catch(() => undefined);
  const grandchild = Number(await waitFor(() => existsSync(file) && readFileSync(file, "utf8").trim()));
  const before = performance.now();
  giveUp.abort(new Error("given up"));
  await expect(running).rejects.toThrow("given up");
  expect(performance.now() - before).toBeLessThan(5_000);
  process.kill(grandchild, "SIGKILL");
});

test("stop is polite first, and kills the whole group past the grace time", async () => {
  await using polite = startProcess({ argv: ["sleep", "20"], env });
  expect(await polite.stop()).toEqual({ kind: "stopped", code: null, signal: "SIGTERM" });
  await using deaf = startProcess({ argv: ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], env });
  await new Promise((resolve) => deaf.stdout.once("data", resolve));
  const end = await deaf.stop({ graceMs: 100 });
  expect(end).toEqual({ kind: "stopped", code: null, signal: "SIGKILL" });
  expect(exitCodeOf(end)).toBe(137);
});

test("an abort ends the command", async () => {
  const controller = new AbortController();
  await using child = startProcess({ argv: ["sleep", "20"], env, signal: controller.signal });
  controller.abort();
  expect((await child.ended).kind).toBe("stopped");
});

test("a further pipe carries bytes in both directions", async () => {
  await using child = startProcess({ argv: ["sh", "-c", "cat <&3 >&3"], env, stdio: ["ignore", "ignore", "ignore", "pipe"] });
  const pipe = child.pipe(3);
  pipe.write("there and back");
  const echoed = await new Promise<Buffer>((resolve) => pipe.once("data", resolve));
  expect(echoed.toString()).toBe("there and back");
  pipe.destroy();
});
