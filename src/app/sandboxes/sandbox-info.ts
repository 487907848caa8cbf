import { timestamp } from "../../base/clock.ts";
import type { LimitName, SandboxRecord } from "../../sandbox/record.ts";
import { formatBinding } from "../../secrets/binding.ts";
import type { SandboxInfo } from "../../schema/api.ts";

const MIB = 1024 ** 2;

/** What the surfaces show of a sandbox. */
export function sandboxInfoOf(record: SandboxRecord): SandboxInfo {
  const { memory, cpu } = record.limits;
  return {
    name: record.name,
    uuid: record.uuid,
    status: record.state === "running" || record.state === "creating" ? "running" : "stopped",
    state: record.state,
    ...(record.reason === undefined || record.reason === "" ? {} : { reason: record.reason }),
    backend: record.backend,
    ...(record.image === undefined ? {} : { image: record.image }),
    ...(cpu === null ? {} : { vcpus: cpu }),
    ...(memory === null ? {} : { memory_mb: Math.floor(memory / MIB) }),
    created_at: timestamp(record.createdAt),
    profile: record.profile,
    ...(record.template === undefined ? {} : { template: record.template }),
    labels: { ...record.labels },
    ...(record.expiresAt === undefined ? {} : { expires_at: timestamp(record.expiresAt) }),
    ...(record.workspace === undefined ? {} : { workspace: { path: record.workspace.path, mode: record.workspace.mode } }),
    limits: Object.fromEntries(
      limitNames(record).map((name) => [name, { value: record.limits[name], enforced_by: record.enforcedBy?.[name] ?? "none" }]),
    ),
    allow: [...record.allow],
    secrets: record.secrets.map(formatBinding),
    secret_files: (record.secretFiles ?? []).map(({ name, inside }) => `${name}:~/${inside}`),
  };
}

function limitNames(record: SandboxRecord): LimitName[] {
  return (Object.keys(record.limits) as LimitName[]).sort();
}
