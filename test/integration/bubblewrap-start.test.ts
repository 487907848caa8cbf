import { chmod, chown, mkdir, readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBubblewrapBackend } from "../../src/backends/bubblewrap/backend.ts";
import { LEASE_DIR } from "../../src/backends/bubblewrap/uid-pool.ts";
import { parseHolderName } from "../../src/backends/bubblewrap/holder-name.ts";
import { silentLog } from "../../src/base/log.ts";
import type { SandboxListeners } from "../../src/sandbox/backend.ts";
import { bubblewrapHarness, NEVER, type Harness } from "../support/bubblewrap-harness.ts";
import { requires } from "../support/requires.ts";
import { runIn } from "../support/run-in.ts";
import { tempDir } from "../support/temp.ts";

const isRoot = process.getuid?.() === 0;

describe("starting bubblewrap sandboxes", requires("bwrap"), () => {
  let harness: Harness;
  beforeAll(async () => {
    harness = await bubblewrapHarness();
  });
  afterAll(() => harness?.[Symbol.asyncDispose]());

  test("the probe finds everything, and says what it tried", async () => {
    const report = await harness.backend.probe(NEVER);
    expect(report.available).toBe(true);
    expect(report.checks.map((check) => check.name)).toEqual(
      expect.arrayContaining(["bubblewrap", "preparations", "CVE-2026-87766", "control groups", "sandbox"]),
    );
    expect(await harness.backend.probe(NEVER)).toBe(report);
    // nothing of the trial stays
    expect((await readdir(join(harness.base, "stage"))).filter((name) => name.startsWith("probe-"))).toEqual([]);
  });

  test("50 at once all start, each with its own network, and none is left", async () => {
    const seen = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const name = `n${index}`;
        await using sandbox = await harness.backend.create(await harness.spec({ hostname: name }), { signal: NEVER, log: silentLog });
        return (await runIn(sandbox, "uname -n")).stdout.trim();
      }),
    );
    expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => `n${index}`));
    // and no uid is still leased by us
    if (isRoot) expect((await readdir(LEASE_DIR)).filter((name) => parseHolderName(name)?.holder.pid === process.pid)).toEqual([]);
  });

  test("each sandbox of root's runs as a uid of its own", requires("root"), async () => {
    const owners: number[] = [];
    const create = async () => {
      const spec = await harness.spec();
      return harness.create({
        ...spec,
        prepare: async (owner) => void owners.push(owner.uid, (await spec.prepare?.(owner).then(() => owner.gid)) ?? 0),
      });
    };
    await Promise.all([create(), create(), create()]);
    const uids = owners.filter((_, index) => index % 2 === 0);
    expect(new Set(uids).size).toBe(3);
    for (const uid of uids) expect(uid).toBeGreaterThanOrEqual(1000);
  });

  test("a missing bwrap, helper or home is one clear error", async () => {
    const none = createBubblewrapBackend({ stageDir: join(harness.base, "stage"), log: silentLog, bwrapPath: "/no/bwrap" });
    await expect(none.create(await harness.spec(), { signal: NEVER, log: silentLog })).rejects.toMatchObject({
      code: "BACKEND_UNAVAILABLE",
      hint: expect.stringContaining("apt-get install bubblewrap"),
    });
    const report = await none.probe(NEVER);
    expect(report.available).toBe(false);
    expect(report.checks.find((check) => !check.ok && check.required)?.remedy).toContain("apt-get install bubblewrap");
    await expect(harness.create({ homeDir: join(harness.base, "nowhere") })).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining("does not exist"),
    });
  });

  test("what bwrap itself refuses is told in its own words", async () => {
    const source = join(harness.base, "src");
    await mkdir(source);
    await expect(harness.create({ mounts: [{ source, target: "/usr/no-such-place", readOnly: true }] })).rejects.toMatchObject({
      code: "SANDBOX_START_FAILED",
      message: expect.stringMatching(/bwrap: .*no-such-place/),
    });
  });

  test("mounts over the sandbox's own places, and paths with symlinks, are refused", async () => {
    const source = join(harness.base, "link-target");
    await mkdir(source);
    await symlink(source, join(harness.base, "link"));
    for (const target of [
      "/proc",
      "/proc/x",
      "/workspace/.git",
      "/home/agent/.ssh",
      "/etc",
      "/",
      "relative",
      "/a/../b",
      "/tmp/x",
      "/run/agentkernel/init",
    ])
      await expect(harness.create({ mounts: [{ source, target, readOnly: true }] }), target).rejects.toMatchObject({ code: "VALIDATION" });
    for (const path of [join(harness.base, "link"), join(harness.base, "link", "below")])
      await expect(harness.create({ mounts: [{ source: path, target: "/opt/x", readOnly: true }] })).rejects.toMatchObject({
        code: "VALIDATION",
        message: expect.stringContaining("symlink"),
      });
  });

  test("a directory that the sandbox's uid cannot reach or read is named", requires("root"), async () => {
    const closed = join(harness.base, "closed");
    await mkdir(join(closed, "inner"), { recursive: true });
    await chmod(closed, 0o700);
    await expect(harness.create({ mounts: [{ source: join(closed, "inner"), target: "/opt/x", readOnly: true }] })).rejects.toMatchObject({
      code: "VALIDATION",
      message: expect.stringContaining(`${closed} is closed to it`),
    });
    await expect(harness.create({ mounts: [{ source: closed, target: "/opt/x", readOnly: true }] })).rejects.toMatchObject({
      message: expect.stringContaining("cannot be read"),
    });
  });

  test("a limit that was asked for and cannot be held is refused, a default one degrades", async () => {
    const limits = { memoryBytes: null, cpus: 0.5, pids: null, openFiles: null, scratchBytes: null };
    if (harness.backend.capabilities.limits.cpu === "cgroup") {
      expect((await harness.create({ limits: { ...limits, required: ["cpu"] } })).limits).toEqual({
        memory: "none",
        cpu: "cgroup",
        pids: "none",
        files: "none",
        disk: "tmpfs",
      });
      return;
    }
    await expect(harness.create({ limits: { ...limits, required: ["cpu"] } })).rejects.toMatchObject({ code: "UNSUPPORTED" });
    expect((await harness.create({ limits: { ...limits, required: [] } })).limits.cpu).toBe("affinity");
  });

  test("a workspace owner is who it runs as", requires("root"), async () => {
    await using workspace = await tempDir({ mode: 0o755 });
    await chown(workspace.path, 4321, 4322);
    const sandbox = await harness.create({ workspaceDir: workspace.path, owner: { uid: 4321, gid: 4322 } });
    expect((await runIn(sandbox, "touch made; stat -c %u:%g made; id -u")).stdout).toBe("1000:1000\n1000\n");
  });
});

test("listeners of two sandboxes at the same ports are different networks", requires("bwrap", "python3"), async () => {
  await using harness = await bubblewrapHarness();
  const taken: SandboxListeners[] = [];
  const network = {
    kind: "gateway",
    ports: [53, 80, 443],
    attach: async (listeners: SandboxListeners) => void taken.push(listeners),
  } as const;
  const [first] = await Promise.all([harness.create({ network }), harness.create({ network })]);
  const hits = taken.map(() => 0);
  for (const [index, { tcp }] of taken.entries())
    tcp.get(80)?.on("connection", (socket) => {
      hits[index] = (hits[index] ?? 0) + 1;
      socket.end();
    });
  if (first === undefined) throw new Error("not started");
  const dial = "import socket\nfor i in range(5): socket.create_connection(('192.0.2.7', 80)).recv(1)";
  expect((await runIn(first, ["/usr/bin/python3", "-c", dial])).code).toBe(0);
  expect([...hits].sort((a, b) => a - b)).toEqual([0, 5]);
  for (const { tcp, dns } of taken) {
    for (const server of tcp.values()) server.close();
    dns?.close();
  }
});
