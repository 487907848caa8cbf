import { AppError } from "../base/error.ts";
import { formatSize } from "../base/units.ts";
import type { Profile, ProfileLimits } from "../schema/profile.ts";
import type { Config, LimitSettings } from "../schema/settings.ts";

type LimitName = "memory" | "cpu" | "pids" | "files" | "disk";

/** What a backend is told; `required` are those that somebody asked for, refused when they cannot be enforced. */
export type EffectiveLimits = ProfileLimits & { readonly required: readonly LimitName[] };

/** Limits of a request, in the API's units. */
export type RequestedLimits = {
  readonly memory_mb?: number | undefined;
  readonly vcpus?: number | undefined;
  readonly pids?: number | undefined;
};

type Row = {
  readonly key: keyof ProfileLimits;
  readonly name: LimitName;
  readonly label: string;
  readonly setting: string;
  readonly show: (value: number) => string;
};

const ROWS: readonly Row[] = [
  { key: "memoryBytes", name: "memory", label: "memory", setting: "memory", show: formatSize },
  { key: "cpus", name: "cpu", label: "cpus", setting: "cpus", show: String },
  { key: "pids", name: "pids", label: "pids", setting: "pids", show: String },
  { key: "openFiles", name: "files", label: "open files", setting: "open_files", show: String },
  { key: "scratchBytes", name: "disk", label: "scratch space", setting: "scratch", show: formatSize },
];

/**
 * Limits of one sandbox: the profile's, replaced by `[sandbox.limits]`, kept inside `[sandbox.max]`. A request narrows them freely and
 * widens them only as far as `[sandbox.max]` says.
 *
 * @throws FORBIDDEN naming the limit, what was asked for and what is permitted
 */
export function limitsFor(sandbox: Config["sandbox"], profile: Profile, requested: RequestedLimits = {}): EffectiveLimits {
  const asked: LimitSettings = {
    ...(requested.memory_mb === undefined ? {} : { memoryBytes: requested.memory_mb * 1024 ** 2 }),
    ...(requested.vcpus === undefined ? {} : { cpus: requested.vcpus }),
    ...(requested.pids === undefined ? {} : { pids: requested.pids }),
  };
  const required: LimitName[] = [];
  const limits: Record<keyof ProfileLimits, number | null> = { ...profile.limits };
  for (const row of ROWS) {
    const most = sandbox.max[row.key];
    const set = sandbox.limits[row.key];
    const standard = atMost(set ?? profile.limits[row.key], most);
    const wanted = asked[row.key];
    if (wanted !== undefined && wanted > (most ?? standard ?? Number.POSITIVE_INFINITY)) {
      throw new AppError(
        "FORBIDDEN",
        `${row.label} ${row.show(wanted)} is more than the ${row.show(most ?? standard ?? 0)} that ${most === undefined ? `the profile ${profile.name}` : "the operator"} permits`,
        {
          hint: `ask for less, or let the operator raise [sandbox.max] ${row.setting}`,
        },
      );
    }
    limits[row.key] = wanted ?? standard;
    if (wanted !== undefined || set !== undefined) required.push(row.name);
  }
  return { ...limits, required };
}

function atMost(value: number | null, most: number | undefined): number | null {
  if (most === undefined) return value;
  return value === null ? most : Math.min(value, most);
}
