import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import type { BackendSandbox, SandboxSpec } from "../../src/sandbox/backend.ts";
import { attackMount } from "./attack.ts";
import { bubblewrapHarness, type Harness } from "./bubblewrap-harness.ts";
import { requires, type Capability } from "./requires.ts";

export type Attacked = {
  /** a sandbox with the attack program at /opt/attack */
  sandbox: BackendSandbox;
  harness: Harness;
  /** a further one of the same kind */
  create(overrides?: Partial<SandboxSpec>): Promise<BackendSandbox>;
};

/** One threat: a sandbox that its tests share, and everything removed afterwards. */
export function threat(
  name: string,
  define: (attacked: Attacked) => void,
  options: { readonly needs?: readonly Capability[]; readonly spec?: Partial<SandboxSpec> } = {},
): void {
  describe(name, requires("bwrap", "cc", ...(options.needs ?? [])), () => {
    const attacked = {} as Attacked;
    beforeAll(async () => {
      attacked.harness = await bubblewrapHarness();
      const dir = join(attacked.harness.base, "attack");
      await mkdir(dir);
      const mount = await attackMount(dir);
      attacked.create = (overrides = {}) =>
        attacked.harness.create({ ...options.spec, ...overrides, mounts: [mount, ...(overrides.mounts ?? [])] });
      attacked.sandbox = await attacked.create();
    });
    afterAll(() => attacked.harness?.[Symbol.asyncDispose]());
    define(attacked);
  });
}
