import { tmpdir } from "node:os";
import { expect, it } from "vitest";
import { AppError } from "../../base/error.ts";
import type { SecretBindingRecord } from "../../sandbox/record.ts";
import { type PlanContext, planSandbox } from "./plan.ts";
import type { SandboxSecrets } from "../secrets/sandbox-secrets.ts";

/** Values that were kept and not forgotten again. */
function secretsOf(kept: Set<string>): SandboxSecrets {
  return {
    bind: (text: string, uuid: string) => {
      const [name = "", host = ""] = text.split(/[=:]/);
      if (host === "missing") return Promise.reject(new AppError("NOT_FOUND", `there is no secret ${name}`));
      kept.add(`${uuid}.${name}`);
      return Promise.resolve({ name, host, header: "authorization", scheme: "bearer", ownValue: `${uuid}.${name}` });
    },
    available: () => Promise.resolve([]),
    forget: ({ secrets }: { readonly secrets: readonly SecretBindingRecord[] }) => {
      for (const { ownValue } of secrets) if (ownValue !== undefined) kept.delete(ownValue);
      return Promise.resolve();
    },
  } as unknown as SandboxSecrets;
}

function contextOf(kept: Set<string>): PlanContext {
  const limits = { memoryBytes: null, cpus: null, pids: null, openFiles: null, scratchBytes: null };
  const sandbox = { backend: "bubblewrap", profile: "moderate", ttlMs: null, limits: {}, max: limits };
  return {
    generation: () => ({ config: { sandbox, secrets: [] }, policyFor: () => undefined }),
    forbidden: [],
    staged: "/staged",
    uid: 1000,
    secrets: secretsOf(kept),
    now: () => 1,
  } as unknown as PlanContext;
}

it.each([
  ["a later binding is refused", { secrets: ["ONE=value:a.example", "TWO:missing"] }, "NOT_FOUND"],
  ["the workspace does not exist", { secrets: ["ONE=value:a.example"], workspace: "/does/not/exist" }, "VALIDATION"],
])("keeps no value of a request of which %s", async (_why, request, code) => {
  const kept = new Set<string>();
  await expect(planSandbox(contextOf(kept), { name: "one", ...request }, undefined)).rejects.toMatchObject({ code });
  expect([...kept]).toEqual([]);
});

it.each([
  ["copy", { copy: true }],
  ["apply", { apply: true, workspace: null }],
])("refuses %s where there is no workspace", async (option, request) => {
  const planning = planSandbox(contextOf(new Set()), { name: "one", ...request }, undefined);
  await expect(planning).rejects.toMatchObject({ code: "VALIDATION", message: expect.stringContaining(option) });
});

it("refuses a time to live that is over at once", async () => {
  const context = contextOf(new Set());
  await expect(planSandbox(context, { name: "one" }, context.now())).rejects.toMatchObject({ code: "VALIDATION" });
});

it.each([
  ["apply", { apply: false }, "worked on directly"],
  ["copy", { copy: false, profile: "restrictive" }, "works on copies alone"],
] as const)("refuses %s where it would not hold", async (_option, request, why) => {
  const planning = planSandbox(contextOf(new Set()), { name: "one", workspace: tmpdir(), ...request }, undefined);
  await expect(planning).rejects.toMatchObject({ code: "VALIDATION", message: expect.stringContaining(why) });
});
