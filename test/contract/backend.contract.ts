import { chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BackendSandbox } from "../../src/sandbox/backend.ts";
import { silentLog } from "../../src/base/log.ts";
import { NEVER, type Harness } from "../support/bubblewrap-harness.ts";
import type { Requirement } from "../support/requires.ts";
import { freePort } from "../support/free-port.ts";
import { dialWhenUp, INSIDE_ENV, runIn } from "../support/run-in.ts";

/** What every backend does alike. A difference is a capability, and only that may change what is expected here. */
export function backendContract(name: string, requirement: Requirement, open: () => Promise<Harness>): void {
  describe(`${name}: a sandbox`, requirement, () => {
    let harness: Harness;
    let sandbox: BackendSandbox;

    beforeAll(async () => {
      harness = await open();
      sandbox = await harness.create();
    });
    afterAll(() => harness?.[Symbol.asyncDispose]());

    test("runs a command and tells its output and exit code", async () => {
      expect(await runIn(sandbox, "echo out; echo err >&2; exit 7")).toEqual({ stdout: "out\n", stderr: "err\n", code: 7, signal: null });
    });

    test("tells a death by signal", async () => {
      expect(await runIn(sandbox, "kill -TERM $$")).toMatchObject({ code: null, signal: "SIGTERM" });
    });

    test("says which command is missing and which cannot be executed", async () => {
      await expect(runIn(sandbox, ["no-such-command"])).rejects.toMatchObject({ code: "EXEC_NOT_FOUND" });
      await expect(runIn(sandbox, ["/etc/passwd"])).rejects.toMatchObject({ code: "EXEC_NOT_EXECUTABLE" });
    });

    test("gives a command exactly the environment that was asked for", async () => {
      const { stdout } = await runIn(sandbox, ["/usr/bin/env"], { env: { A: "1", EMPTY: "", LINE: "a\nb", PATH: "/usr/bin" } });
      expect(stdout).toBe("A=1\nEMPTY=\nLINE=a\nb\nPATH=/usr/bin\n");
    });

    test("runs in the working directory that was asked for", async () => {
      expect((await runIn(sandbox, "pwd", { cwd: "/home/agent" })).stdout).toBe("/home/agent\n");
      await expect(runIn(sandbox, "pwd", { cwd: "/nowhere" })).rejects.toThrow(/nowhere/);
    });

    test("passes 8 MiB of arbitrary bytes through stdin and stdout unchanged", async () => {
      const sent = Buffer.alloc(8 << 20);
      for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE(Math.imul(i + 1, 2654435761) >>> 0, i);
      const exec = await sandbox.exec({ argv: ["cat"], env: INSIDE_ENV, cwd: "/" }, { signal: NEVER });
      exec.stdin.end(sent);
      const received: Buffer[] = [];
      for await (const chunk of exec.stdout) received.push(chunk as Buffer);
      expect(Buffer.concat(received).equals(sent)).toBe(true);
      expect(await exec.exited).toEqual({ code: 0, signal: null });
    });

    test("gives a terminal with its size, and tells a change of it", async () => {
      const exec = await sandbox.exec(
        {
          argv: ["/bin/sh", "-c", "test -t 0 && stty size && trap 'stty size; exit 3' WINCH && echo ready && while :; do sleep 0.02; done"],
          env: INSIDE_ENV,
          cwd: "/",
          tty: { rows: 30, cols: 100 },
        },
        { signal: NEVER },
      );
      let seen = "";
      exec.stdout.on("data", (chunk: Buffer) => {
        if (seen.includes("ready") === false && (seen + chunk.toString()).includes("ready")) exec.resize({ rows: 11, cols: 22 });
        seen += chunk.toString();
      });
      expect((await exec.exited).code).toBe(3);
      expect(seen.replaceAll("\r", "")).toBe("30 100\nready\n11 22\n");
    });

    test("passes signals to the whole group of a command", async () => {
      const exec = await sandbox.exec(
        { argv: ["/bin/sh", "-c", "sleep 100 & echo ready; wait"], env: INSIDE_ENV, cwd: "/" },
        { signal: NEVER },
      );
      await new Promise((resolve) => exec.stdout.once("data", resolve));
      exec.kill("SIGINT");
      expect(await exec.exited).toMatchObject({ signal: "SIGINT" });
    });

    test("runs eight commands at once, and not one after the other", async () => {
      const before = performance.now();
      const results = await Promise.all(Array.from({ length: 8 }, (_, index) => runIn(sandbox, `sleep 0.5; echo ${index}`)));
      expect(results.map((result) => result.stdout)).toEqual(Array.from({ length: 8 }, (_, index) => `${index}\n`));
      expect(performance.now() - before).toBeLessThan(2500);
    });

    test("has its own host name, an ordinary user and a process list of its own", async () => {
      const { stdout } = await runIn(sandbox, "uname -n; id -u; id -un; tr '\\0' ' ' < /proc/1/cmdline");
      const [hostname, uid, user, init] = stdout.split("\n");
      expect(hostname).toMatch(/^s\d+$/);
      expect([uid, user]).toEqual(["1000", "agent"]);
      expect(init).toMatch(/init/);
    });

    test("can write to home, workspace, /tmp and /dev/shm", async () => {
      const { stdout } = await runIn(sandbox, "for d in /home/agent /workspace /tmp /dev/shm; do echo x > $d/file && cat $d/file; done");
      expect(stdout).toBe("x\nx\nx\nx\n");
    });

    test("connects to a port inside for the host", async () => {
      const exec = await sandbox.exec(
        { argv: ["/usr/bin/python3", "-m", "http.server", "8099", "--bind", "127.0.0.1", "-d", "/usr/share"], env: INSIDE_ENV, cwd: "/" },
        { signal: NEVER },
      );
      const stream = await dialWhenUp(sandbox, 8099);
      stream.end("HEAD / HTTP/1.0\r\n\r\n");
      expect(await text(stream)).toMatch(/^HTTP\/1\.0 200 OK/);
      exec.kill("SIGKILL");
      await exec.exited;
    });

    test("refuses to connect to a port where nothing listens", async () => {
      await expect(sandbox.dial(9, { signal: NEVER })).rejects.toMatchObject({ code: "UPSTREAM_ERROR" });
    });
  });

  describe(`${name}: files of the host`, requirement, () => {
    let harness: Harness;
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness?.[Symbol.asyncDispose]());

    test("workspace and home keep what was written, in both directions and over a restart", async () => {
      const workspaceDir = join(harness.base, "project");
      await mkdir(workspaceDir);
      await writeFile(join(workspaceDir, "from-host"), "host\n");
      const spec = await harness.spec({ workspaceDir });
      {
        await using sandbox = await harness.backend.create(spec, { signal: NEVER, log: silentLog });
        expect((await runIn(sandbox, "cat from-host; echo inside > from-inside; echo kept > ~/kept; echo gone > /tmp/gone")).stdout).toBe(
          "host\n",
        );
      }
      expect(await readFile(join(workspaceDir, "from-inside"), "utf8")).toBe("inside\n");
      await using again = await harness.backend.create(spec, { signal: NEVER, log: silentLog });
      expect((await runIn(again, "cat from-inside ~/kept; ls /tmp")).stdout).toBe("inside\nkept\n");
    });

    test("a mount is read-only or writable as it says", async () => {
      const [shown, shared] = [join(harness.base, "shown"), join(harness.base, "shared")];
      await mkdir(shown);
      await mkdir(shared, { mode: 0o777 });
      await writeFile(join(shown, "file"), "text\n");
      const base = await harness.spec();
      const sandbox = await harness.create({
        mounts: [
          { source: shown, target: "/opt/shown", readOnly: true },
          { source: shared, target: "/srv/shared", readOnly: false },
        ],
        prepare: async (owner) => {
          await base.prepare?.(owner);
          if (process.getuid?.() === 0) await chown(shared, owner.uid, owner.gid);
        },
      });
      const result = await runIn(sandbox, "cat /opt/shown/file; echo new > /srv/shared/new; echo new > /opt/shown/new");
      expect(result.stdout).toBe("text\n");
      expect(result.stderr).toMatch(/Read-only file system/);
      expect(await readFile(join(shared, "new"), "utf8")).toBe("new\n");
    });

    test("generated files stand where they were asked for, whatever their size, and cannot be changed", async () => {
      const big = "line of a bundle\n".repeat(10_000);
      const sandbox = await harness.create({
        files: { "/etc/ssl/certs/ca-certificates.crt": big, "/etc/motd": "small\n", "/opt/agentkernel/deep/file": "deep\n" },
      });
      const { stdout, stderr } = await runIn(
        sandbox,
        "cat /etc/motd /opt/agentkernel/deep/file; wc -c < /etc/ssl/certs/ca-certificates.crt; echo x > /etc/motd",
      );
      expect(stdout).toBe(`small\ndeep\n${big.length}\n`);
      expect(stderr).toMatch(/Read-only file system/);
    });
  });

  describe(`${name}: the network`, requirement, () => {
    let harness: Harness;
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness?.[Symbol.asyncDispose]());

    test("brings every connection on the gateway's ports to the gateway, with its destination", async () => {
      const sandbox = await harness.create();
      const { stdout } = await runIn(sandbox, [
        "/usr/bin/python3",
        "-c",
        CONNECT,
        "93.184.216.34:80",
        "10.1.2.3:443",
        "169.254.169.254:80",
        "example.com:80",
      ]);
      expect(stdout).toBe("to 93.184.216.34:80\nto 10.1.2.3:443\nto 169.254.169.254:80\nto 198.18.0.1:80\n");
      expect(harness.gateway.names).toContain("example.com");
    });

    test("refuses every other port at once, and IPv6", async () => {
      const sandbox = await harness.create();
      const { stdout } = await runIn(sandbox, [
        "/usr/bin/python3",
        "-c",
        CONNECT,
        "93.184.216.34:22",
        "127.0.0.1:8080",
        "[2606:2800:220:1::1]:443",
        "[::1]:80",
      ]);
      expect(stdout).toBe("ECONNREFUSED\nECONNREFUSED\nECONNREFUSED\nECONNREFUSED\n");
    });

    test("does not run anything before the gateway has attached", async () => {
      const order: string[] = [];
      const sandbox = await harness.create({
        network: {
          kind: "gateway",
          ports: [53, 80, 443],
          attach: async (listeners) => {
            await new Promise((resolve) => setImmediate(resolve));
            await harness.gateway.attach(listeners);
            order.push("attached");
          },
        },
      });
      order.push("created");
      expect((await runIn(sandbox, ["/usr/bin/python3", "-c", CONNECT, "192.0.2.1:443"])).stdout).toBe("to 192.0.2.1:443\n");
      expect(order).toEqual(["attached", "created"]);
    });

    test("a gateway that refuses is a start that fails, with nothing left", async () => {
      const spec = await harness.spec({
        network: { kind: "gateway", ports: [53, 80, 443], attach: () => Promise.reject(new Error("no gateway today")) },
      });
      await expect(harness.backend.create(spec, { signal: NEVER, log: silentLog })).rejects.toThrow("no gateway today");
    });

    test("none means none: not even the gateway", async () => {
      const sandbox = await harness.create({ network: { kind: "none" } });
      const { stdout } = await runIn(sandbox, ["/usr/bin/python3", "-c", CONNECT, "93.184.216.34:80", "127.0.0.1:80"]);
      expect(stdout).toBe("ENETUNREACH\nECONNREFUSED\n");
    });

    test("what listens inside cannot be reached from the host", async () => {
      const sandbox = await harness.create();
      const { port } = await freePort();
      const exec = await sandbox.exec(
        { argv: ["/usr/bin/python3", "-m", "http.server", String(port), "-d", "/usr/share"], env: INSIDE_ENV, cwd: "/" },
        { signal: NEVER },
      );
      (await dialWhenUp(sandbox, port)).destroy();
      const socket = connect(port, "127.0.0.1");
      const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
      expect(error.code).toBe("ECONNREFUSED");
      exec.kill("SIGKILL");
      await exec.exited;
    });
  });

  describe(`${name}: the end`, requirement, () => {
    let harness: Harness;
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness?.[Symbol.asyncDispose]());

    test("stop kills everything, the first reason stays, and it settles once", async () => {
      const sandbox = await harness.create();
      const exec = await sandbox.exec(
        { argv: ["/bin/sh", "-c", "trap '' TERM HUP INT; setsid sleep 1000 & echo ready; wait"], env: INSIDE_ENV, cwd: "/" },
        { signal: NEVER },
      );
      await new Promise((resolve) => exec.stdout.once("data", resolve));
      const exited = expect(exec.exited).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
      await Promise.all([sandbox.stop({ kind: "timeout", message: "first" }), sandbox.stop({ kind: "stopped", message: "second" })]);
      expect(await sandbox.ended).toEqual({ kind: "timeout", message: "first" });
      await exited;
      await expect(runIn(sandbox, "true")).rejects.toMatchObject({ code: "SANDBOX_ENDED" });
      await sandbox[Symbol.asyncDispose]();
    });

    test("an aborted start leaves nothing behind", async () => {
      const controller = new AbortController();
      const spec = await harness.spec({
        network: {
          kind: "gateway",
          ports: [53, 80, 443],
          attach: () => {
            controller.abort(new Error("changed my mind"));
            return new Promise(() => undefined);
          },
        },
      });
      await expect(harness.backend.create(spec, { signal: controller.signal, log: silentLog })).rejects.toThrow("changed my mind");
    });

    test("memory past the limit ends it with that reason", async () => {
      const sandbox = await harness.create({
        limits: { memoryBytes: 64 << 20, cpus: null, pids: 64, openFiles: null, scratchBytes: 32 << 20, required: ["memory"] },
      });
      expect(sandbox.limits.memory).not.toBe("none");
      const eater = runIn(sandbox, [
        "/usr/bin/python3",
        "-c",
        "import time\na=[]\nwhile True:\n  a.append(bytearray(b'x'*1000000)); time.sleep(0.002)",
      ]);
      const outcome = await eater.then(
        (result) => result.signal ?? result.code,
        (error: unknown) => (error as { code?: string }).code,
      );
      expect(["SIGKILL", "SANDBOX_ENDED"]).toContain(outcome);
      expect((await sandbox.ended).kind).toBe("memory");
    });

    test("processes past the limit cannot be started, and the sandbox goes on", async () => {
      const sandbox = await harness.create({
        limits: { memoryBytes: 256 << 20, cpus: null, pids: 20, openFiles: null, scratchBytes: 1 << 20, required: ["pids"] },
      });
      const { stdout } = await runIn(sandbox, ["/usr/bin/python3", "-c", FORKS]);
      expect(Number(stdout)).toBeGreaterThan(10);
      expect(Number(stdout)).toBeLessThanOrEqual(20);
      expect((await runIn(sandbox, "echo alive")).stdout).toBe("alive\n");
    });

    test("files past the limit cannot be opened, and scratch has its size", async () => {
      const sandbox = await harness.create({
        limits: { memoryBytes: 256 << 20, cpus: null, pids: 64, openFiles: 32, scratchBytes: 4 << 20, required: ["files", "disk"] },
      });
      const { stdout } = await runIn(sandbox, "ulimit -n; head -c 6000000 /dev/zero > /tmp/big; stat -c %s /tmp/big");
      const [files, size] = stdout.trim().split("\n").map(Number);
      expect(files).toBe(32);
      expect(size).toBeLessThanOrEqual(4 << 20);
    });

    test("an image is refused where images are no capability", async () => {
      if (harness.backend.capabilities.images) return;
      await expect(harness.create({ image: "alpine:3.20" })).rejects.toMatchObject({ code: "UNSUPPORTED" });
    });
  });
}

/** Connects to each argument, sends a line and prints the answer's last line or the error's name. */
const CONNECT = `
import errno, socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(":", 1)
    try:
        s = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        data = b""
        while True:
            chunk = s.recv(4096)
            if not chunk: break
            data += chunk
        print(data.decode().strip().split("\\n")[-1])
    except OSError as e:
        print(errno.errorcode.get(e.errno, type(e).__name__))
`;

const FORKS = `
import os, time
n = 0
pids = []
try:
    while n < 500:
        pid = os.fork()
        if pid == 0:
            time.sleep(30)
            os._exit(0)
        pids.append(pid)
        n += 1
except OSError:
    pass
for pid in pids: os.kill(pid, 9)
for pid in pids: os.waitpid(pid, 0)
print(n)
`;
