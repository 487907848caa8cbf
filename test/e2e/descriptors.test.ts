/** A server that is out of descriptors, by a sandbox's doing: it refuses what would need one, stays alive, and goes on afterwards. */
import { readdirSync, readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AGENTKERNEL } from "../support/cli.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

const LIMIT = 130;
/** Connects as often as one sandbox may, holds what it got until well after the first refusal, and ends. */
const FLOOD = `
import socket, time
held = []
end = time.time() + 4
while time.time() < end:
    try: held.append(socket.create_connection(("192.0.2.1", 443), timeout=1))
    except OSError: time.sleep(0.01)
    if len(held) > 180: time.sleep(0.05)
`;

describe("a server without descriptors", requires("bwrap", "python3", "curl"), () => {
  it("stays alive while one sandbox holds them all, and serves the others afterwards", async () => {
    await using dir = await tempDir();
    const limited = join(dir.path, "limited");
    await writeFile(limited, `#!/bin/sh\nulimit -n ${LIMIT} || exit 9\nexec ${AGENTKERNEL} "$@"\n`);
    await chmod(limited, 0o755);
    await using at = await installation(limited);
    for (const name of ["flood", "other"]) expect((await at.run(["create", name, "--no-workspace"])).code).toBe(0);
    const pid = serverPid(at.home);
    const open = (): number => readdirSync(`/proc/${pid}/fd`).length;
    const log = (): string => readFileSync(join(at.home, "run", "serve.log"), "utf8");
    expect((await at.run(["exec", "-d", "flood", "--", "python3", "-c", FLOOD])).code).toBe(0);
    await waitFor(() => open() >= LIMIT - 1, { what: "the last descriptor", timeoutMs: 20_000 });
    // what looks at the machine now and then found none, and the process outlived it
    await waitFor(() => log().includes("too many open files") || log().includes("error 24"), { what: "a failed look", timeoutMs: 20_000 });
    await waitFor(() => open() < LIMIT / 2, { what: "the end of the flood", timeoutMs: 30_000 });
    const asked = await at.run(["exec", "other", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://denied.example/"]);
    expect([asked.stdout.toString(), asked.code]).toEqual(["403", 0]);
    expect((await at.run(["create", "third", "--no-workspace"])).code).toBe(0);
    expect(serverPid(at.home)).toBe(pid);
  }, 120_000);
});

function serverPid(home: string): number {
  return (JSON.parse(readFileSync(join(home, "run/serve.lock.holder"), "utf8")) as { pid: number }).pid;
}
