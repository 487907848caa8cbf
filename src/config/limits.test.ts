import { describe, expect, it } from "vitest";
import { PROFILES } from "../schema/profile.ts";
import { limitsFor } from "./limits.ts";

const sandbox = { backend: "bubblewrap", profile: "moderate", ttlMs: null, limits: {}, max: {} } as const;
const GIB = 1024 ** 3;

describe("limitsFor", () => {
  it("is the profile's when nobody says otherwise, and requires none of it", () => {
    expect(limitsFor(sandbox, PROFILES.moderate)).toMatchObject({ memoryBytes: 2 * GIB, cpus: 2, pids: 512, required: [] });
    expect(limitsFor(sandbox, PROFILES.permissive)).toEqual({
      memoryBytes: null,
      cpus: null,
      pids: null,
      openFiles: null,
      scratchBytes: null,
      required: [],
    });
    expect(limitsFor(sandbox, PROFILES.restrictive)).toMatchObject({ memoryBytes: GIB / 2, cpus: 0.5, pids: 128 });
  });

  it("lets a request narrow, and requires what it asked for", () => {
    expect(limitsFor(sandbox, PROFILES.moderate, { memory_mb: 1024, pids: 10 })).toMatchObject({
      memoryBytes: GIB,
      pids: 10,
      cpus: 2,
      required: ["memory", "pids"],
    });
    expect(limitsFor(sandbox, PROFILES.permissive, { vcpus: 16 })).toMatchObject({ cpus: 16, required: ["cpu"] });
    expect(limitsFor(sandbox, PROFILES.moderate, { memory_mb: 2048 })).toMatchObject({ memoryBytes: 2 * GIB });
  });

  it("widens only inside what the operator permits", () => {
    expect(() => limitsFor(sandbox, PROFILES.moderate, { memory_mb: 4096 })).toThrow(
      expect.objectContaining({
        code: "FORBIDDEN",
        message: "memory 4GiB is more than the 2GiB that the profile moderate permits",
        hint: expect.stringContaining("[sandbox.max] memory"),
      }),
    );
    const wider = { ...sandbox, max: { memoryBytes: 4 * GIB } };
    expect(limitsFor(wider, PROFILES.moderate, { memory_mb: 4096 })).toMatchObject({ memoryBytes: 4 * GIB });
    expect(limitsFor(wider, PROFILES.moderate)).toMatchObject({ memoryBytes: 2 * GIB });
    expect(() => limitsFor(wider, PROFILES.moderate, { memory_mb: 4097 })).toThrow(/that the operator permits/);
    expect(() => limitsFor(wider, PROFILES.moderate, { vcpus: 3 })).toThrow(/cpus 3 is more than the 2/);
  });

  it("keeps the profile itself inside the operator's bound", () => {
    const bound = { ...sandbox, max: { memoryBytes: GIB, pids: 100 } };
    expect(limitsFor(bound, PROFILES.permissive)).toMatchObject({ memoryBytes: GIB, pids: 100, cpus: null });
    expect(limitsFor(bound, PROFILES.moderate)).toMatchObject({ memoryBytes: GIB, pids: 100 });
    expect(() => limitsFor(bound, PROFILES.moderate, { pids: 200 })).toThrow(/100 that the operator permits/);
  });

  it("puts the operator's limits in the profile's place, and requires them", () => {
    const set = { ...sandbox, limits: { cpus: 4, openFiles: 128 } };
    expect(limitsFor(set, PROFILES.moderate)).toMatchObject({ cpus: 4, openFiles: 128, memoryBytes: 2 * GIB, required: ["cpu", "files"] });
    expect(() => limitsFor(set, PROFILES.moderate, { vcpus: 5 })).toThrow(/cpus 5 is more than the 4/);
  });
});
