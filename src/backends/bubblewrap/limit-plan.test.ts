import { describe, expect, test } from "vitest";
import type { SandboxLimits } from "../../sandbox/backend.ts";
import type { Controller } from "./cgroup.ts";
import { planLimits, type LimitMeans } from "./limit-plan.ts";

const GIB = 1 << 30;
const limits: SandboxLimits = { memoryBytes: GIB, cpus: 0.5, pids: 100, openFiles: 256, scratchBytes: 64 << 20, required: [] };
const root: LimitMeans = { controllers: new Set<Controller>(["memory", "cpu", "pids"]), cores: 4, machineMemoryBytes: 8 * GIB };
const ordinary: LimitMeans = { ...root, controllers: new Set() };

describe("who holds a limit", () => {
  test("control groups where there are any", () => {
    const plan = planLimits(limits, root);
    expect(plan.enforced).toEqual({ memory: "cgroup", cpu: "cgroup", pids: "cgroup", files: "rlimit", disk: "tmpfs" });
    expect(plan).toMatchObject({ group: { memoryBytes: GIB, cpus: 0.5, pids: 103 }, affinity: null, watchedBytes: null, processes: 103 });
  });

  test("watchdog, cores and resource limits elsewhere", () => {
    const plan = planLimits({ ...limits, cpus: 1.5 }, ordinary);
    expect(plan.enforced).toEqual({ memory: "watchdog", cpu: "affinity", pids: "rlimit", files: "rlimit", disk: "tmpfs" });
    expect(plan).toMatchObject({ group: { memoryBytes: null, cpus: null, pids: null }, affinity: 2, watchedBytes: GIB, processes: 103 });
  });

  test("nobody, where there is no limit", () => {
    const plan = planLimits({ memoryBytes: null, cpus: null, pids: null, openFiles: null, scratchBytes: null, required: [] }, root);
    expect(plan.enforced).toEqual({ memory: "none", cpu: "none", pids: "none", files: "none", disk: "tmpfs" });
    expect(plan.scratch.bytes).toBe(4 * GIB);
  });

  test("as many cores as the machine has need no binding", () => {
    expect(planLimits({ ...limits, cpus: 4 }, ordinary).affinity).toBeNull();
    expect(planLimits({ ...limits, cpus: 64, required: ["cpu"] }, ordinary).affinity).toBeNull();
  });
});

describe("refusals", () => {
  test("a part of a core that was asked for, without control groups", () => {
    expect(() => planLimits({ ...limits, required: ["cpu"] }, ordinary)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", details: { limit: "cpu" } }),
    );
    expect(planLimits({ ...limits, required: ["cpu"] }, root).enforced.cpu).toBe("cgroup");
    expect(planLimits({ ...limits, cpus: 2, required: ["cpu"] }, ordinary).enforced.cpu).toBe("affinity");
  });

  test.each([{ memoryBytes: 1 << 20 }, { cpus: 0 }, { cpus: -1 }, { cpus: Number.NaN }, { pids: 0 }, { openFiles: 3 }])(
    "nothing could run under %j",
    (part) => {
      expect(() => planLimits({ ...limits, ...part }, root)).toThrow(expect.objectContaining({ code: "VALIDATION" }));
    },
  );
});

test("scratch is never larger than memory, and its files are bounded too", () => {
  expect(planLimits({ ...limits, scratchBytes: null }, root).scratch).toEqual({ bytes: GIB, inodes: GIB / 4096 });
  expect(planLimits({ ...limits, scratchBytes: 1 << 20 }, root).scratch.inodes).toBe(1024);
  expect(
    planLimits({ ...limits, scratchBytes: 1024 * GIB, memoryBytes: null }, { ...root, machineMemoryBytes: 512 * GIB }).scratch.inodes,
  ).toBe(1_000_000);
});
