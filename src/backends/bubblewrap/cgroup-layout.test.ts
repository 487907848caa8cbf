import { expect, test } from "vitest";
import { layoutV1, layoutV2, parseCgroupMounts } from "./cgroup-layout.ts";

const limits = { memoryBytes: 256 << 20, cpus: 0.5, pids: 64 };

test("mounts of both versions are read", () => {
  const text = [
    "tmpfs /sys/fs/cgroup tmpfs rw 0 0",
    "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0",
    "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0",
    "cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0",
    "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0",
  ].join("\n");
  expect(parseCgroupMounts(text)).toEqual({
    v2: "/sys/fs/cgroup/unified",
    v1: new Map([
      ["cpu", "/sys/fs/cgroup/cpu,cpuacct"],
      ["memory", "/sys/fs/cgroup/memory"],
      ["pids", "/sys/fs/cgroup/pids"],
    ]),
  });
  expect(parseCgroupMounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0")).toEqual({ v2: "/sys/fs/cgroup", v1: new Map() });
});

test("version 1 writes each limit into its own hierarchy", () => {
  const layout = layoutV1(
    new Map([
      ["memory", "/m"],
      ["pids", "/p"],
      ["cpu", "/c"],
    ]),
  );
  expect(layout.parents).toEqual(["/m/agentkernel", "/p/agentkernel", "/c/agentkernel"]);
  expect(layout.settings("/m/agentkernel", limits).map(({ file, value }) => [file, value])).toEqual([
    ["memory.limit_in_bytes", "268435456"],
    ["memory.memsw.limit_in_bytes", "268435456"],
    ["memory.swappiness", "0"],
    ["memory.kmem.tcp.limit_in_bytes", "67108864"],
  ]);
  expect(layout.settings("/p/agentkernel", limits)).toEqual([{ file: "pids.max", value: "64" }]);
  expect(layout.settings("/c/agentkernel", limits)).toEqual([
    { file: "cpu.cfs_period_us", value: "100000" },
    { file: "cpu.cfs_quota_us", value: "50000" },
  ]);
  expect(layout.oom?.pattern.exec("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")?.[1]).toBe("3");
});

test("version 1 with joint mounts makes one group for both", () => {
  const layout = layoutV1(
    new Map([
      ["memory", "/all"],
      ["cpu", "/all"],
    ]),
  );
  expect(layout.parents).toEqual(["/all/agentkernel"]);
  expect(layout.settings("/all/agentkernel", limits).map(({ file }) => file)).toEqual(
    expect.arrayContaining(["memory.limit_in_bytes", "cpu.cfs_quota_us"]),
  );
});

test("version 2 writes all into one group", () => {
  const layout = layoutV2("/sys/fs/cgroup", new Set(["memory", "pids", "cpu"]));
  expect(layout.parents).toEqual(["/sys/fs/cgroup/agentkernel"]);
  expect(layout.settings("/sys/fs/cgroup/agentkernel", limits).map(({ file, value }) => [file, value])).toEqual([
    ["memory.max", "268435456"],
    ["memory.swap.max", "0"],
    ["memory.oom.group", "1"],
    ["pids.max", "64"],
    ["cpu.max", "50000 100000"],
  ]);
  expect(layout.settings("/x", { memoryBytes: null, cpus: null, pids: null })).toEqual([]);
  expect(layout.oom?.pattern.exec("low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\noom_group_kill 1\n")?.[1]).toBe("2");
});
