import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync } from "node:fs";
import { chown, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { Server, Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { LaunchRequest, Opened } from "../../src/backends/bubblewrap/launch-request.ts";
import { Launcher } from "../../src/backends/bubblewrap/launcher.ts";
import { processesOf } from "../../src/backends/bubblewrap/stray-processes.ts";
import { guestProgram } from "../../src/backends/init/program.ts";
import { silentLog } from "../../src/base/log.ts";
import type { ProcessEnd } from "../../src/base/process.ts";
import { descendants } from "../support/leftovers.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const isRoot = process.getuid?.() === 0;
/** nobody else has it, so every process that has it is ours */
const uid = isRoot ? 2_400_000 + process.pid : (process.getuid?.() ?? 0);
const owner = isRoot ? { uid, gid: uid } : undefined;

type Begun = {
  readonly id: number;
  /** what came, in order: the port of a listener, or a name */
  readonly came: readonly (number | string)[];
  readonly init: Promise<Socket>;
  readonly ready: Promise<void>;
  readonly ended: Promise<{ readonly end: ProcessEnd; readonly said: string }>;
};

function begin(launcher: Launcher, request: LaunchRequest): Begun {
  const came: (number | string)[] = [];
  const init = Promise.withResolvers<Socket>();
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<{ end: ProcessEnd; said: string }>();
  const id = launcher.start(request, {
    socket: (socket, port) => {
      came.push(socket instanceof Socket ? "init" : (port ?? "dns"));
      if (socket instanceof Socket) init.resolve(socket.on("error", () => undefined));
      else if (socket instanceof Server) socket.close();
      else socket.close();
    },
    ready: () => {
      came.push("ready");
      ready.resolve();
    },
    ended: (end, said) => ended.resolve({ end, said }),
  });
  return { id, came, init: init.promise, ready: ready.promise, ended: ended.promise };
}

const launcherOf = (idleMs?: number): Launcher => new Launcher(() => guestProgram("launcher"), silentLog, idleMs);
const shell = (script: string, opened: readonly Opened[] = []): LaunchRequest => ({ argv: ["/bin/sh", "-c", script], owner, opened });

describe("the launcher", () => {
  test("gives what it starts the descriptors that were asked for, in order, and no other", requires("bwrap"), async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const [read, written, held] = [join(dir.path, "read"), join(dir.path, "written"), join(dir.path, "held")];
    await writeFile(read, "from a file\n", { mode: 0o600 });
    await writeFile(written, "", { mode: 0o600 });
    await mkdir(held);
    const { dev: device, ino: inode } = lstatSync(held, { bigint: true });
    const launcher = launcherOf();
    const others = [begin(launcher, shell("read word <&4")), begin(launcher, shell("read word <&4"))];
    const { ended } = begin(
      launcher,
      // what the listing itself opened is gone when its names are looked at
      shell(
        "cat <&5 >&7; cat <&6 >&7; readlink /proc/$$/fd/8 >&2; cd /proc/$$/fd; for fd in *; do [ -L $fd ] && echo $fd >&2; done; id -u >&2",
        [
          { kind: "content", content: "from memory\n" },
          { kind: "reading", path: read },
          { kind: "writing", path: written },
          { kind: "held", path: held, device, inode },
        ],
      ),
    );
    expect(await ended).toEqual({ end: { kind: "exited", code: 0 }, said: `${[held, 0, 1, 2, 3, 4, 5, 6, 7, 8, uid].join("\n")}\n` });
    expect(await readFile(written, "utf8")).toBe("from memory\nfrom a file\n");
    for (const other of others) (await other.init).end();
    for (const other of others) expect((await other.ended).end).toEqual({ kind: "exited", code: 1 });
  });

  test("passes nothing of the environment and no rights", requires("root"), async () => {
    const { ended } = begin(launcherOf(), shell("cat /proc/$$/environ /proc/self/status >&2"));
    const { said } = await ended;
    expect(said).not.toMatch(/PATH=|HOME=/);
    expect(said).toMatch(/^Groups:\s*$/m);
    expect(said).toMatch(/^CapEff:\s0+$/m);
    expect(said).toMatch(new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, "m"));
  });

  test("does not hand over what stands at a path in place of what was judged", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const [path, other] = [join(dir.path, "judged"), join(dir.path, "other")];
    await mkdir(path);
    await mkdir(other);
    const { dev: device, ino: inode } = lstatSync(path, { bigint: true });
    await rename(path, join(dir.path, "away"));
    await rename(other, path);
    const launcher = launcherOf();
    const { ended } = begin(launcher, shell("echo ran >&2", [{ kind: "held", path, device, inode }]));
    expect(await ended).toEqual({ end: { kind: "exited", code: 125 }, said: `launcher: ${path} was replaced by something else\n` });
  });

  test("tells how each ended, and what it said last", async () => {
    const launcher = launcherOf();
    const all = [
      begin(launcher, shell('printf \'say "%s\\\\\\t\' "$0" >&2; exit 7')),
      begin(launcher, shell("kill -9 $$")),
      begin(launcher, { argv: ["/no/such/program"], owner, opened: [] }),
      begin(launcher, shell("i=0; while [ $i -lt 2000 ]; do echo $i >&2; i=$((i+1)); done")),
    ];
    const [quoted, killed, missing, long] = await Promise.all(all.map(({ ended }) => ended));
    expect(quoted).toEqual({ end: { kind: "exited", code: 7 }, said: 'say "/bin/sh\\\t' });
    expect(killed?.end).toEqual({ kind: "signalled", signal: "SIGKILL" });
    expect(missing).toEqual({ end: { kind: "exited", code: 125 }, said: "launcher: /no/such/program: No such file or directory\n" });
    expect(long?.said.length).toBe(4096);
    expect(long?.said.endsWith("1998\n1999\n")).toBe(true);
  });

  test("ends what it started when it is killed, and is started again", requires("root"), async () => {
    const launcher = launcherOf();
    const running = Array.from({ length: 3 }, () => begin(launcher, shell("read word <&4")));
    await Promise.all(running.map(({ init }) => init));
    // these asked for no parent-death signal, as stage 1 does: their end is that of their socket
    for (const { init } of running) void init.then((socket) => socket.end());
    process.kill(launcher.pid, "SIGKILL");
    for (const { ended } of running) expect((await ended).end).toEqual({ kind: "signalled", signal: "SIGKILL" });
    await waitFor(() => processesOf((other) => other === uid).length === 0, { what: "no process of the uid" });
    expect((await begin(launcher, shell("exit 3")).ended).end).toEqual({ kind: "exited", code: 3 });
  });

  test("ends by itself when there is nothing to do, and is started again", async () => {
    const launcher = launcherOf(5);
    const { pid } = launcher;
    await begin(launcher, shell("exit 0")).ended;
    await waitFor(() => descendants().every((child) => child.pid !== pid), { what: "the launcher to end" });
    expect((await begin(launcher, shell("exit 3")).ended).end).toEqual({ kind: "exited", code: 3 });
  });

  test("that dies while its last words are on their way leaves no socket open here", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    // stands in for it: sends a socket for a sandbox that is not known, and tells the end of the known one when that was closed
    const program = join(dir.path, "launcher");
    const script = `#!${process.execPath}
const net = require("node:net");
process.once("disconnect", () => process.exit());
const path = ${JSON.stringify(join(dir.path, "socket"))};
const server = net.createServer((socket) => process.send({ sandbox: 99, init: 1 }, socket)).listen(path, () => {
  const client = net.connect(path).resume();
  client.on("close", () => process.send({ sandbox: 1, ended: { code: 7, signal: 0, said: "closed" } }));
});
`;
    await writeFile(program, script, { mode: 0o755 });
    const { ended } = begin(new Launcher(() => program, silentLog), shell("exit 0"));
    expect(await ended).toEqual({ end: { kind: "exited", code: 7 }, said: "closed" });
  });

  test("ends with its parent", async () => {
    const path = guestProgram("launcher");
    const { stderr, status } = spawnSync(path, ["--parent", "1"], { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
    expect([status, stderr]).toEqual([125, "launcher: the parent is gone\n"]);
    const child = spawn(path, ["--parent", String(process.pid)], { stdio: ["ignore", "ignore", "ignore", "ipc", "pipe"] });
    child.disconnect();
    expect((await once(child, "exit"))[0]).toBe(0);
  });

  test("ends when it is asked for what makes no sense", async () => {
    for (const frame of [
      Buffer.from([0, 0, 0, 0, 0x5a, 1, 0, 0, 0]), // no such request
      Buffer.from([0, 0, 0, 0, 0x53, 1, 0, 0, 0]), // a start of nothing
      Buffer.from([1, 0, 0, 0, 0x47, 1, 0, 0, 0, 0]), // too long
      Buffer.from([255, 255, 255, 255, 0x53, 1, 0, 0, 0]),
    ]) {
      const child = spawn(guestProgram("launcher"), ["--parent", String(process.pid)], {
        stdio: ["ignore", "ignore", "ignore", "ipc", "pipe"],
      });
      (child.stdio[4] as Socket).on("error", () => undefined).write(frame);
      expect((await once(child, "exit"))[0]).toBe(125);
    }
  });
});

describe("the word to start", requires("bwrap"), () => {
  /** Stage 1 with a shell in place of bwrap, which waits as the init does to be greeted. */
  async function stageOne(dir: string): Promise<(launcher: Launcher, ports?: readonly string[]) => Begun> {
    await mkdir(join(dir, "scratch"));
    if (owner !== undefined) await chown(join(dir, "scratch"), uid, uid);
    const path = join(dir, "net-helper");
    await writeFile(path, await readFile(guestProgram("net-helper")), { mode: 0o755 });
    return (launcher, ports = ["80"]) => {
      const options = ["--scratch", join(dir, "scratch"), "--scratch-options", "size=1048576", "--keep", "4"];
      const own = ["--parent", String(launcher.pid), "--channel", "3", ...options, ...ports.flatMap((port) => ["--listen", port])];
      return begin(launcher, { argv: [path, ...own, "--", "/bin/sh", "-c", "read greeting <&4 && echo ran >&2"], owner, opened: [] });
    };
  }

  test("comes after every socket, and then the end of stage 2 is that of stage 1", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const launcher = launcherOf();
    const stage = (await stageOne(dir.path))(launcher, ["80", "443"]);
    await stage.ready;
    expect(stage.came).toEqual(["init", 80, 443, "dns", "ready"]);
    launcher.go(stage.id);
    (await stage.init).end("hello\n");
    expect(await stage.ended).toEqual({ end: { kind: "exited", code: 0 }, said: "ran\n" });
  });

  test("is waited for by what gets ready meanwhile, which goes when it does not come", async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const start = await stageOne(dir.path);
    const launcher = launcherOf();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const stage = start(launcher, []);
      await stage.ready;
      expect(stage.came).toEqual(["init", "ready"]);
      launcher.signal(stage.id, signal);
      const { end, said } = await stage.ended;
      expect(end).toEqual(signal === "SIGTERM" ? { kind: "exited", code: 143 } : { kind: "signalled", signal });
      expect(said).toBe("");
      // its socket closes with the last that holds it
      if (!(await stage.init).resume().closed) await once(await stage.init, "close");
    }
  });

  test("is not the end of the launcher, with which everything goes", requires("root"), async () => {
    await using dir = await tempDir({ mode: 0o755 });
    const start = await stageOne(dir.path);
    const launcher = launcherOf();
    const stages = [start(launcher), start(launcher), start(launcher)];
    const [first] = stages;
    await Promise.all(stages.map(({ ready }) => ready));
    if (first !== undefined) launcher.go(first.id);
    expect(processesOf((other) => other === uid).length).toBe(6);
    process.kill(launcher.pid, "SIGKILL");
    await waitFor(() => processesOf((other) => other === uid).length === 0, { what: "no process of the uid" });
    for (const { ended } of stages) expect((await ended).end).toEqual({ kind: "signalled", signal: "SIGKILL" });
  });

  test.each([
    ["", "closed before the word"],
    ["no", "did not give the word"],
    ["g", "did not give the word"],
    ["go!", "did not give the word"],
    ["x".repeat(50), "did not give the word"],
  ])("is not %j", requires("python3"), async (word, why) => {
    await using dir = await tempDir({ mode: 0o755 });
    await stageOne(dir.path);
    const script = `
import os, socket, subprocess, sys
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
args = [sys.argv[1] + "/net-helper", "--parent", str(os.getpid()), "--channel", str(theirs.fileno()), "--listen", "80",
        "--scratch", sys.argv[1] + "/scratch", "--scratch-options", "size=1048576", "--", "/bin/sh", "-c", "sleep 100; echo ran"]
child = subprocess.Popen(args, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, ${owner === undefined ? "" : `user=${uid}, group=${uid}, extra_groups=[]`})
theirs.close()
text, fds, _, _ = socket.recv_fds(ours, 200, 8)
assert len(text) == 5 and len(fds) == 2, (text, fds)
if sys.argv[2]: ours.send(sys.argv[2].encode())
else: ours.close()
out, err = child.communicate(timeout=20)
print(child.returncode, out.decode(), err.decode())
`;
    const { stdout, stderr } = spawnSync("python3", ["-c", script, dir.path, word], { encoding: "utf8", timeout: 30_000 });
    // its output was closed: what had got ready meanwhile is gone
    expect(`${stdout}${stderr}`).toMatch(new RegExp(`^125 +net-helper: .*${why}`));
  });

  test("is not waited for as uid 0", requires("root"), async () => {
    await using dir = await tempDir();
    const launcher = launcherOf();
    const options = ["--parent", String(launcher.pid), "--channel", "3", "--scratch", dir.path, "--scratch-options", "size=1m"];
    const argv = [guestProgram("net-helper"), ...options, "--", "/bin/true"];
    const { end, said } = await begin(launcher, { argv, owner: undefined, opened: [] }).ended;
    expect(end).toEqual({ kind: "exited", code: 125 });
    expect(said).toContain("as uid 0");
  });
});
