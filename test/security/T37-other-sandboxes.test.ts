import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

let base: string;
let home: string;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-T37-"));
  home = stateHome(base);
  for (const name of ["a", "b"]) await cli(["create", name, "--no-workspace"], { home });
});

afterAll(async () => {
  await cli(["serve", "--stop"], { home });
  rmSync(base, { recursive: true, force: true });
});

const inside = async (name: string, script: string): Promise<string> =>
  (await cli(["exec", name, "--", "sh", "-c", script], { home })).stdout.toString();

describe("one sandbox and another, in the same server", requires("bwrap", "python3", "curl"), () => {
  it("do not reach each other's ports, files, processes or sockets", async () => {
    await inside("a", "echo canary-of-a > ~/secret; echo canary-of-a > /tmp/secret; echo canary > /dev/shm/secret");
    await cli(["exec", "-d", "a", "--", "python3", "-m", "http.server", "8088", "--bind", "0.0.0.0"], { home });
    await waitFor(async () => (await inside("a", "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8088/")) === "200", {
      what: "a's own server",
      timeoutMs: 10_000,
    });
    // every address is b's own: nobody listens there
    for (const host of ["127.0.0.1", "10.0.0.1", "198.18.0.1", "a"]) {
      expect(await inside("b", `curl -s -m 3 -o /dev/null -w '%{http_code}' http://${host}:8088/`)).toBe("000");
    }
    expect(
      await inside("b", "cat ~/secret /tmp/secret /dev/shm/secret 2>/dev/null; ls /proc | grep -c '^[0-9]*$'; pgrep -f http.server; true"),
    ).not.toContain("canary");
    expect(await inside("b", "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '")).not.toContain("http.server");
  });

  it("have abstract sockets and System V memory of their own", async () => {
    const listen = "import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('\\0agentkernel-canary'); s.listen(); time.sleep(30)";
    await cli(["exec", "-d", "a", "--", "python3", "-c", listen], { home });
    const connect = "import socket; s=socket.socket(socket.AF_UNIX); s.connect('\\0agentkernel-canary'); print('connected')";
    await waitFor(async () => (await inside("a", `python3 -c "${connect}" 2>&1`)).includes("connected"), {
      what: "a's own socket",
      timeoutMs: 10_000,
    });
    expect(await inside("b", `python3 -c "${connect}" 2>&1 | tail -1`)).toContain("ConnectionRefusedError");
  });
});
