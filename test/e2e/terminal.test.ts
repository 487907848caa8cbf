import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AGENTKERNEL, cli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";

/** The command on a real terminal, which Python's pty module provides. */

const DRIVER = `
import os, pty, sys, time, select, signal, struct, fcntl, termios, json
argv, script = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sized, size_set = os.pipe()
drained, all_read = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    # as a shell would: it leads the session, so that the terminal is hung up only after everything was read
    os.close(size_set); os.close(all_read)
    os.read(sized, 1)
    command = os.fork()
    if command == 0:
        os.close(sized); os.close(drained)
        os.execv(argv[0], argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(command, 0)
    os.write(1, b"\\nEXIT %d\\n" % os.waitstatus_to_exitcode(status))
    os.read(drained, 1)
    os._exit(0)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
os.close(sized); os.close(size_set); os.close(drained)
seen = b""
deadline = time.time() + 30
steps = list(script)
while time.time() < deadline:
    ready, _, _ = select.select([fd], [], [], 0.1)
    if ready:
        chunk = os.read(fd, 65536)
        seen += chunk
        if b"\\nEXIT " in seen and seen.endswith(b"\\n"):
            break
    if steps and steps[0][0].encode() in seen:
        wait, send = steps.pop(0)
        sys.stdout.buffer.write(seen)
        seen = b""
        if send.startswith("resize:"):
            rows, cols = map(int, send[7:].split("x"))
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        else:
            os.write(fd, send.encode())
sys.stdout.buffer.write(seen)
os.close(all_read); os.close(fd)
os.waitpid(pid, 0)
`;

let base: string;
let home: string;

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-terminal-"));
  home = stateHome(base);
  mkdirSync(join(base, "project"));
  writeFileSync(join(base, "driver.py"), DRIVER);
});

afterAll(async () => {
  await cli(["serve", "--stop"], { home });
  rmSync(base, { recursive: true, force: true });
});

/** Runs a command line on a terminal; each step waits for a text and then types one. */
function onTerminal(args: readonly string[], steps: readonly (readonly [string, string])[] = []): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("/usr/bin/python3", [join(base, "driver.py"), JSON.stringify([AGENTKERNEL, ...args]), JSON.stringify(steps)], {
      cwd: join(base, "project"),
      env: { PATH: process.env["PATH"], HOME: home, AGENTKERNEL_HOME: home, XDG_CONFIG_HOME: join(home, "config"), TERM: "xterm" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.once("error", reject);
    child.once("close", () => resolve(output.replaceAll("\r\n", "\n")));
  });
}

describe("on a terminal", requires("bwrap", "python3"), () => {
  it("run gives the command a terminal of the same size", async () => {
    const output = await onTerminal(["run", "--", "sh", "-c", "test -t 0 && test -t 1 && stty size"]);
    expect(output).toMatch(/^31 97\n/);
    expect(output).toMatch(/EXIT 0\n$/);
  });

  it("passes a resize, Ctrl-C and typed lines on", async () => {
    const script = "trap 'echo got INT' INT; echo ready; read line; echo \"read $line\"; read other; stty size; echo done";
    const output = await onTerminal(
      ["run", "--", "sh", "-c", script],
      [
        ["ready", "typed\n"],
        ["read typed", "resize:40x120"],
        ["", "\n"],
      ],
    );
    expect(output).toContain("read typed");
    expect(output).toContain("40 120");
    const interrupted = await onTerminal(
      ["run", "--", "sh", "-c", "trap 'echo got INT; exit 5' INT; echo ready; while :; do sleep 0.1; done"],
      [["ready", "\u0003"]],
    );
    expect(interrupted).toContain("got INT");
    expect(interrupted).toMatch(/EXIT 5\n$/);
  });

  it("--no-tty gives none", async () => {
    const output = await onTerminal(["run", "--no-tty", "--", "sh", "-c", "test -t 1 && echo terminal || echo none"]);
    expect(output).toContain("none");
  });

  it("attach opens a shell, whose exit code is the command's", async () => {
    await cli(["create", "box", "--no-workspace"], { home });
    const output = await onTerminal(["attach", "box"], [["$", "echo in-$AGENTKERNEL_SANDBOX; exit 6\n"]]);
    expect(output).toContain("in-box");
    expect(output).toMatch(/EXIT 6\n$/);
    const exec = await onTerminal(["exec", "-it", "box", "--", "stty", "size"]);
    expect(exec).toMatch(/^31 97\n/);
  });

  it("a secret is asked for without being shown; whoever ends the question stores nothing, and is told so", async () => {
    const given = await onTerminal(["secret", "set", "ASKED"], [["the value of ASKED", "a-value-0123456789\r"]]);
    expect(given).toMatch(/secret ASKED is kept[\s\S]*EXIT 0\n$/);
    expect(given).not.toContain("a-value");
    for (const end of ["\u0004", "\u0003"]) {
      const refused = await onTerminal(["secret", "set", "OTHER"], [["the value of OTHER", end]]);
      expect(refused).toMatch(/nothing was stored[\s\S]*EXIT 125\n$/);
      // the cursor is shown again
      expect(refused.lastIndexOf("\u001b[?25h")).toBeGreaterThan(refused.lastIndexOf("\u001b[?25l"));
    }
    expect((await cli(["secret", "ls"], { home })).stdout.toString()).toMatch(/^NAME[^\n]*\nASKED [^\n]*\n$/);
  });
});
