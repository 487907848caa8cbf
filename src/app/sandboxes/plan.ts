import { AppError } from "../../base/error.ts";
import { newUuid } from "../../base/id.ts";
import { limitsFor } from "../../config/limits.ts";
import type { Mount } from "../../sandbox/backend.ts";
import { INSIDE } from "../../sandbox/inside.ts";
import type { SandboxRecord, SecretBindingRecord } from "../../sandbox/record.ts";
import { chooseWorkspace, directoryOf, refuseOwnState } from "../../sandbox/workspace/choose.ts";
import type { CreateSandboxRequest } from "../../schema/api.ts";
import { PROFILES } from "../../schema/profile.ts";
import type { BindingSettings } from "../../schema/settings.ts";
import type { EgressGeneration } from "../egress/egress-policy.ts";
import type { SandboxSecrets } from "../secrets/sandbox-secrets.ts";
import type { SecretFiles } from "../secrets/secret-files.ts";

export type PlanContext = {
  readonly generation: () => EgressGeneration;
  /** our own state and configuration, which never enter a sandbox */
  readonly forbidden: readonly string[];
  /** programs and files staged for the inside */
  readonly staged: string;
  readonly uid: number;
  readonly secrets: SandboxSecrets;
  readonly secretFiles: Pick<SecretFiles, "define">;
  readonly now: () => number;
};

/**
 * From what a caller asks for to what is kept of a sandbox: profile, limits, workspace, bindings, all checked.
 * @throws AppError naming what cannot be had and why
 */
export async function planSandbox(
  context: PlanContext,
  request: CreateSandboxRequest,
  expiresAt: number | undefined,
): Promise<SandboxRecord> {
  const { config } = context.generation();
  const uuid = newUuid();
  if (request.template !== undefined)
    throw new AppError("NOT_IMPLEMENTED", "templates are not available in this version", { hint: "leave out the template" });
  const backend = request.backend ?? config.sandbox.backend;
  if (backend !== "bubblewrap")
    throw new AppError("NOT_IMPLEMENTED", `backend ${backend} is not available in this version`, { hint: "use the backend bubblewrap" });
  const profile = PROFILES[request.profile ?? config.sandbox.profile];
  const limits = limitsFor(config.sandbox, profile, { memory_mb: request.memory_mb, vcpus: request.vcpus, pids: request.pids });
  const now = context.now();
  const end = expiresAt ?? (config.sandbox.ttlMs === null ? undefined : now + config.sandbox.ttlMs);
  if (end !== undefined && end <= now)
    throw new AppError("VALIDATION", "its time would be over before it begins", { hint: "write a ttl of 2h, say, or leave it out" });
  if (request.workspace === undefined || request.workspace === null) refuseWithoutWorkspace(request);
  const secrets = await bindingsOf(context, profile.network === "none" ? [] : config.secrets, request, uuid);
  try {
    // what the operator does not permit is refused now, by name, and not at the first connection
    const secretFiles = filesOf(context, request);
    if (secretFiles.length > 0 && profile.network === "none")
      throw new AppError("VALIDATION", `the profile ${profile.name} has no network, so the logins of a secret file are of no use in it`, {
        hint: "leave out the secret file, or choose the profile moderate",
      });
    context
      .generation()
      .policyFor({ profile: profile.name, allow: request.allow ?? [], secrets, secretFiles, hostPorts: request.allow_host_ports ?? [] });
    const workspace = await workspaceOf(context, request, profile.workspace === "copy");
    return {
      uuid,
      name: request.name,
      backend,
      profile: profile.name,
      ...(request.image === undefined ? {} : { image: request.image }),
      labels: request.labels ?? {},
      env: request.env ?? {},
      limits: { memory: limits.memoryBytes, cpu: limits.cpus, pids: limits.pids, files: limits.openFiles, disk: limits.scratchBytes },
      requiredLimits: limits.required,
      allow: request.allow ?? [],
      ...(request.allow_host_ports === undefined ? {} : { hostPorts: request.allow_host_ports }),
      secrets,
      ...(secretFiles.length === 0 ? {} : { secretFiles }),
      mounts: await mountsOf(context, request),
      ...(workspace === undefined ? {} : { workspace }),
      state: "creating",
      createdAt: now,
      ...(end === undefined ? {} : { expiresAt: end }),
    };
  } catch (error) {
    // values that came with the request are kept for this sandbox alone, which there will not be
    await context.secrets.forget({ secrets });
    throw error;
  }
}

async function bindingsOf(
  context: PlanContext,
  standard: readonly BindingSettings[],
  request: CreateSandboxRequest,
  uuid: string,
): Promise<readonly SecretBindingRecord[]> {
  const asked: SecretBindingRecord[] = [];
  try {
    // a binding may bring its value, which is kept at once: what came before one that is refused goes again
    for (const text of request.secrets ?? []) asked.push(await context.secrets.bind(text, uuid));
  } catch (error) {
    await context.secrets.forget({ secrets: asked });
    throw error;
  }
  const names = new Set(asked.map((binding) => binding.name));
  // the caller's own binding of a name wins over the operator's default one
  const defaults = standard.filter((binding) => !names.has(binding.name));
  return [...asked, ...(await context.secrets.available(defaults))];
}

function filesOf(context: PlanContext, { secret_files: asked = [] }: CreateSandboxRequest): NonNullable<SandboxRecord["secretFiles"]> {
  const files = asked.map((text) => context.secretFiles.define(text));
  for (const key of ["name", "inside"] as const)
    if (new Set(files.map((file) => file[key])).size < files.length)
      throw new AppError("VALIDATION", `two secret files have the same ${key === "name" ? "name" : "place inside"}`, {
        hint: "leave out one",
      });
  return files;
}

function refuseWithoutWorkspace({ copy, apply }: CreateSandboxRequest): void {
  const option = copy === true ? "copy" : apply === true ? "apply" : undefined;
  if (option === undefined) return;
  throw new AppError("VALIDATION", `${option} was asked for, but there is no workspace`, {
    hint: `name a workspace, or leave out ${option}`,
  });
}

async function workspaceOf(
  context: PlanContext,
  request: CreateSandboxRequest,
  profileCopies: boolean,
): Promise<SandboxRecord["workspace"]> {
  const asked = request.copy === true || profileCopies;
  const plan = await chooseWorkspace({ path: request.workspace ?? null, copy: asked, uid: context.uid, forbidden: context.forbidden });
  switch (plan.mode) {
    case "none":
      return undefined;
    case "direct":
      if (request.apply === false) throw unmet("apply is false, but the workspace is worked on directly", "ask for a copy, too");
      return { path: plan.path, mode: "direct", ...(plan.owner === undefined ? {} : { owner: plan.owner }) };
    case "copy":
      if (request.copy === false)
        throw unmet(
          `copy is false, but ${profileCopies ? "the profile works on copies alone" : "a sandbox never writes to a directory of root's directly"}`,
          "leave out copy, or ask for apply, which writes its changes back",
        );
      // a copy that nobody asked for is how root's own directory is worked on: its changes go back
      return { path: plan.path, mode: "copy", apply: request.apply ?? !asked };
    default:
      return plan satisfies never;
  }
}

/** What was said about a workspace and would not hold. */
function unmet(message: string, hint: string): AppError {
  return new AppError("VALIDATION", message, { hint });
}

async function mountsOf(context: PlanContext, request: CreateSandboxRequest): Promise<readonly Mount[]> {
  return Promise.all(
    (request.mounts ?? []).map(async ({ source, target, read_only }) => {
      const path = await directoryOf(source);
      // what is staged is there to be seen inside, though never to be written
      if (!read_only || !path.startsWith(`${context.staged}/`)) await refuseOwnState(path, context.forbidden, "mount");
      if (target === INSIDE.workspace || target.startsWith(`${INSIDE.workspace}/`) || target.startsWith(`${INSIDE.home}/`)) {
        throw new AppError(
          "VALIDATION",
          `nothing can be mounted at ${target}: what lies below a directory that the sandbox can write to is not ours to trust`,
          {
            hint: "mount it at a path of its own, such as /mnt/data",
          },
        );
      }
      return { source: path, target, readOnly: read_only };
    }),
  );
}
