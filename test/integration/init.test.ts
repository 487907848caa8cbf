import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { execRequest, finish, type RunningInit, runInInit, shell, startInit } from "../support/init-process.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const MIB = 1024 * 1024;
const signal = new AbortController().signal;

let init: RunningInit;
beforeAll(async () => {
  init = await startInit();
});
afterAll(async () => {
  await init[Symbol.asyncDispose]();
});

const run = (...args: Parameters<typeof runInInit> extends [unknown, ...infer R] ? R : never) => runInInit(init.client, ...args);

/** `blocks` MiB that cannot be guessed or compressed away by a fault: block i is derived from i. */
function* noise(blocks: number): Generator<Buffer> {
  for (let i = 0; i < blocks; i += 1) {
    const seed = createHmac("sha256", "noise").update(String(i)).digest();
    yield Buffer.alloc(MIB, Buffer.concat([seed, Buffer.from([i, 0, 0x0a, 0x0d, 0x04, 0xff, i])]));
  }
}

async function hashOf(stream: Readable): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest("hex") };
}

describe("a command", () => {
  test("gets its input, writes both outputs apart and exits with its code", async () => {
    expect(await run(shell("cat; echo problem >&2; exit 7"), "hello\n")).toEqual({
      status: { code: 7, signal: null },
      stdout: "hello\n",
      stderr: "problem\n",
    });
  });

  test.each([0, 1, 42, 125, 126, 127, 137, 255])("exit code %d", async (code) => {
    expect((await run(shell(`exit ${code}`))).status).toEqual({ code, signal: null });
  });

  test.each(["SIGTERM", "SIGKILL", "SIGSEGV", "SIGPIPE", "SIGHUP", "SIGABRT"] as const)("death by %s", async (name) => {
    expect((await run(shell(`kill -${name.slice(3)} $$`))).status).toEqual({ code: null, signal: name });
  });

  test("sees exactly the environment and directory it was given, and a usual umask", async () => {
    const { stdout } = await run(execRequest(["/usr/bin/env"], { env: { B: "two\nlines", A: "", Ü: "é" } }));
    expect(stdout).toBe("B=two\nlines\nA=\nÜ=é\n");
    expect((await run(shell("pwd; umask", { cwd: "/usr/lib" }))).stdout).toBe("/usr/lib\n0022\n");
  });

  test("gets its arguments unchanged", async () => {
    const args = ["", " ", "a\nb", "é€😀", "-n", "x".repeat(100_000)];
    const { stdout } = await run(execRequest(["/usr/bin/printf", "%s\\0", ...args]));
    expect(stdout.split("\0").slice(0, -1)).toEqual(args);
  });

  test("sees descriptors 0, 1 and 2 and no other", async () => {
    const { stdout } = await run(shell("for fd in /proc/self/fd/*; do echo ${fd##*/}; done"));
    // the shell's own glob opens the directory while it lists it
    expect(
      stdout
        .trim()
        .split("\n")
        .filter((fd) => fd !== "*"),
    ).toEqual(["0", "1", "2", "3"]);
    const listed = (await run(execRequest(["/bin/ls", "-l", "/proc/self/fd"]))).stdout;
    expect(listed).toMatch(/ 3 -> \/proc\/\d+\/fd$/m);
    expect(listed).not.toMatch(/socket:/);
  });

  test("leads a session and group of its own and finds every signal at its default", async () => {
    const exec = await init.client.exec(shell("cut -d' ' -f5,6 /proc/$$/stat; grep -E 'Sig(Blk|Ign)' /proc/self/status"), { signal });
    const { stdout } = await finish(exec);
    expect(stdout.split("\n")[0]).toBe(`${exec.pid} ${exec.pid}`);
    expect(stdout).toMatch(/SigBlk:\s0+\nSigIgn:\s0+\n/);
  });

  test("a closed input is the end of file", async () => {
    expect((await run(execRequest(["/usr/bin/wc", "-c"]), "12345")).stdout).toBe("5\n");
  });

  test("half-closing the input leaves the outputs open", async () => {
    const exec = await init.client.exec(shell("cat >/dev/null; echo end of input; read x </dev/null; echo still here"), { signal });
    exec.stdin.end();
    expect((await finish(exec)).stdout).toBe("end of input\nstill here\n");
  });
});

describe("what cannot be executed", () => {
  test("missing, on the PATH and by path: not found", async () => {
    await expect(run(execRequest(["no-such-command"]))).rejects.toMatchObject({ code: "EXEC_NOT_FOUND", exit: 127 });
    await expect(run(execRequest(["/no/such/command"]))).rejects.toMatchObject({ code: "EXEC_NOT_FOUND" });
    await expect(run(execRequest(["/etc/passwd/command"]))).rejects.toMatchObject({ code: "EXEC_NOT_FOUND" });
  });

  test("a file without permission, a directory, an unknown format, a missing interpreter, a missing directory: not executable", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    await writeFile(join(dir.path, "plain"), "echo hello\n", { mode: 0o644 });
    await writeFile(join(dir.path, "unknown"), "\x01\x02\x03", { mode: 0o755 });
    await writeFile(join(dir.path, "orphan"), "#!/no/such/interpreter\n", { mode: 0o755 });
    const notExecutable = { code: "EXEC_NOT_EXECUTABLE", exit: 126 };
    await expect(run(execRequest([join(dir.path, "plain")]))).rejects.toMatchObject(notExecutable);
    await expect(run(execRequest([dir.path]))).rejects.toMatchObject(notExecutable);
    await expect(run(execRequest([join(dir.path, "unknown")]))).rejects.toMatchObject({
      ...notExecutable,
      message: expect.stringContaining("#!"),
    });
    await expect(run(execRequest([join(dir.path, "orphan")]))).rejects.toMatchObject({
      ...notExecutable,
      message: expect.stringContaining("interpreter"),
    });
    await expect(run(shell("true", { cwd: "/no/such/dir" }))).rejects.toMatchObject({
      ...notExecutable,
      message: expect.stringContaining("/no/such/dir"),
    });
    await expect(run(execRequest(["plain"], { env: { PATH: `/nowhere:${dir.path}` } }))).rejects.toMatchObject(notExecutable);
  });

  test("the PATH of the command's own environment is searched in order, past what cannot be executed", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    for (const [name, mode] of [
      ["denied", 0o644],
      ["first", 0o755],
      ["second", 0o755],
    ] as const) {
      await mkdir(join(dir.path, name));
      await writeFile(join(dir.path, name, "tool"), `#!/bin/sh\necho ${name}\n`, { mode });
    }
    const PATH = ["denied", "first", "second"].map((name) => join(dir.path, name)).join(":");
    expect((await run(execRequest(["tool"], { env: { PATH } }))).stdout).toBe("first\n");
    expect((await run(execRequest(["./tool"], { cwd: join(dir.path, "second") }))).stdout).toBe("second\n");
    expect((await run(execRequest(["true"], { env: {} }))).status.code).toBe(0);
  });

  test("bad requests are refused before they are sent", async () => {
    await expect(run(execRequest([]))).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(run(execRequest(["a\0b"]))).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(run(execRequest(["true"], { env: { "A=B": "c" } }))).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(run(execRequest(["true", "x".repeat(MIB)]))).rejects.toMatchObject({ code: "TOO_LARGE" });
    await expect(run(execRequest(["true", "x".repeat(200_000)]))).rejects.toMatchObject({ code: "EXEC_NOT_EXECUTABLE" });
  });

  test("an aborted start leaves no command behind", async () => {
    const abort = new AbortController();
    const started = init.client.exec(execRequest(["/bin/sleep", "987.25"]), { signal: abort.signal });
    abort.abort(new Error("changed my mind"));
    await expect(started).rejects.toThrow("changed my mind");
    await waitFor(async () => !(await allCommandLines()).includes("987.25"), { what: "the sleep to be gone" });
    expect((await run(shell("echo fine"))).stdout).toBe("fine\n");
  });
});

async function allCommandLines(): Promise<string> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return lines.join("\n");
}

describe("bytes", () => {
  test("100 MiB of binary output arrive unchanged", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const file = join(dir.path, "noise");
    await pipeline(Readable.from(noise(100)), createWriteStream(file));
    const expected = await hashOf(createReadStream(file));
    const exec = await init.client.exec(execRequest(["/bin/cat", file]), { signal });
    exec.stderr.resume();
    expect(await hashOf(exec.stdout)).toEqual(expected);
    expect(await exec.exited).toEqual({ code: 0, signal: null });
  });

  test("100 MiB of binary input arrive unchanged", async () => {
    const exec = await init.client.exec(execRequest(["/usr/bin/sha256sum"]), { signal });
    const [, result] = await Promise.all([pipeline(Readable.from(noise(100)), exec.stdin), finish(exec)]);
    expect(result.stdout.split(" ")[0]).toBe((await hashOf(Readable.from(noise(100)))).sha256);
  });

  test("32 MiB go through a command and back, in pieces of every size", async () => {
    const pieces = function* (): Generator<Buffer> {
      let size = 1;
      for (const block of noise(32)) {
        for (let at = 0; at < block.length; at += size, size = (size * 7 + 3) % 200_003) yield block.subarray(at, at + Math.max(1, size));
      }
    };
    const sent: Buffer[] = [...pieces()];
    const exec = await init.client.exec(execRequest(["/bin/cat"]), { signal });
    const [, received] = await Promise.all([pipeline(Readable.from(sent), exec.stdin), hashOf(exec.stdout)]);
    expect(received).toEqual(await hashOf(Readable.from(sent)));
  });

  test("both outputs at once keep their order", async () => {
    const script = "i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    const { stdout, stderr } = await run(shell(script));
    const lines = (word: string): string => Array.from({ length: 3000 }, (_, i) => `${word} ${i}\n`).join("");
    expect(stdout).toBe(lines("out"));
    expect(stderr).toBe(lines("err"));
  });

  test("a slow reader stops its own command only, and memory stays bounded", async () => {
    const slow = await init.client.exec(execRequest(["/bin/cat", "/dev/zero"]), { signal });
    await once(slow.stdout, "readable");
    const before = process.memoryUsage().arrayBuffers;
    const quick = await init.client.exec(execRequest(["/usr/bin/head", "-c", String(64 * MIB), "/dev/zero"]), { signal });
    quick.stderr.resume();
    expect((await hashOf(quick.stdout)).bytes).toBe(64 * MIB);
    expect(slow.stdout.readableLength).toBeLessThanOrEqual(256 * 1024);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
    slow.kill("SIGKILL");
    slow.stdout.resume();
    expect(await slow.exited).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("a command that does not read its input stops its own writer only", async () => {
    const deaf = await init.client.exec(execRequest(["/bin/sleep", "60"]), { signal });
    let written = 0;
    const feed = pipeline(
      Readable.from(
        (function* () {
          for (const block of noise(64)) {
            written += block.length;
            yield block;
          }
        })(),
      ),
      deaf.stdin,
    ).then(
      () => "all written",
      (error: NodeJS.ErrnoException) => error.code,
    );
    await waitFor(() => deaf.stdin.writableNeedDrain, { what: "back-pressure" });
    expect((await run(shell("cat"), "others go on")).stdout).toBe("others go on");
    expect(written).toBeLessThan(24 * MIB);
    deaf.kill("SIGTERM");
    expect(await deaf.exited).toEqual({ code: null, signal: "SIGTERM" });
    expect(await feed).toBe("ERR_STREAM_PREMATURE_CLOSE");
  });

  test("a command that closes its input lets the writer go while it runs on", async () => {
    const exec = await init.client.exec(shell("head -c 3; exec <&-; echo; sleep 60"), { signal });
    const feed = pipeline(Readable.from(noise(8)), exec.stdin).catch((error: NodeJS.ErrnoException) => error.code);
    expect(await feed).toBe("ERR_STREAM_PREMATURE_CLOSE");
    exec.kill("SIGKILL");
    expect((await exec.exited).signal).toBe("SIGKILL");
  });

  test("a reader that leaves gives the command a broken pipe", async () => {
    const exec = await init.client.exec(execRequest(["/usr/bin/yes"]), { signal });
    await once(exec.stdout, "readable");
    exec.stdout.destroy();
    expect(await exec.exited).toEqual({ code: null, signal: "SIGPIPE" });
  });

  test("output that nobody has read yet survives the exit and the end of the sandbox", async () => {
    const own = await startInit();
    const exec = await own.client.exec(shell("seq 1 20000; echo done >&2"), { signal });
    expect(await exec.exited).toEqual({ code: 0, signal: null });
    await own[Symbol.asyncDispose]();
    const { stdout, stderr } = await finish(exec);
    expect(stdout.endsWith("\n20000\n")).toBe(true);
    expect(stdout.length).toBe(108_894);
    expect(stderr).toBe("done\n");
  });
});
