import { AppError } from "../base/error.ts";
import type { ProfileName } from "./api.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Limits of one sandbox; null: unlimited. */
export type ProfileLimits = {
  readonly memoryBytes: number | null;
  /** cores, may be a fraction */
  readonly cpus: number | null;
  readonly pids: number | null;
  readonly openFiles: number | null;
  /** size of each scratch file system (/tmp, /dev/shm) */
  readonly scratchBytes: number | null;
};

/** A named bundle of limits and policy: what a sandbox may do. */
export type Profile = {
  readonly name: ProfileName;
  /** what happens to a host no rule names; `configured`: what `[egress].default` says */
  readonly network: "public" | "configured" | "none";
  /** how a workspace is given when the caller does not say */
  readonly workspace: "direct" | "copy";
  /** a writable root where the backend can */
  readonly writableRoot: boolean;
  readonly limits: ProfileLimits;
  /** names of the caller's variables passed inside */
  readonly passEnv: readonly string[];
};

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  permissive: {
    name: "permissive",
    network: "public",
    workspace: "direct",
    writableRoot: true,
    limits: { memoryBytes: null, cpus: null, pids: null, openFiles: null, scratchBytes: null },
    passEnv: ["PATH", "LANG", "TERM", "HOME"],
  },
  moderate: {
    name: "moderate",
    network: "configured",
    workspace: "direct",
    writableRoot: true,
    limits: { memoryBytes: 2 * GIB, cpus: 2, pids: 512, openFiles: 65_536, scratchBytes: 1 * GIB },
    passEnv: [],
  },
  restrictive: {
    name: "restrictive",
    network: "none",
    workspace: "copy",
    writableRoot: false,
    limits: { memoryBytes: 512 * MIB, cpus: 0.5, pids: 128, openFiles: 4096, scratchBytes: 256 * MIB },
    passEnv: [],
  },
};

/** @throws VALIDATION that names the profiles there are */
export function profileNamed(text: string): ProfileName {
  const profile = Object.values(PROFILES).find(({ name }) => name === text);
  if (profile === undefined)
    throw new AppError("VALIDATION", `there is no profile ${text}`, { hint: `one of ${Object.keys(PROFILES).join(", ")}` });
  return profile.name;
}
