import type { ProfileName, SandboxState } from "../schema/api.ts";
import type { SecretFileDefinition } from "../schema/secret-file-definition.ts";
import type { SecretReference } from "../schema/secret-reference.ts";
import type { AuthHeader, SecretScheme } from "../schema/secret-scheme.ts";
import type { StoredExec } from "../schema/stored-exec.ts";
import type { EnforcedBy, FileOwner, Mount } from "./backend.ts";

export type LimitName = "memory" | "cpu" | "pids" | "files" | "disk";

/** A secret bound to a host: the variable inside, the host pattern, the header it belongs into. */
export type SecretBindingRecord = {
  readonly name: string;
  readonly host: string;
  readonly header: string;
  readonly scheme: SecretScheme;
  /** further headers that the host's clients use */
  readonly others?: readonly AuthHeader[];
  /** what it may be used for; absent: every method, the host's default paths, no query parameter */
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly query?: string;
  /** the operator's configuration gives it to every sandbox */
  readonly isDefault?: boolean;
  /** where the operator's configuration says that its value is; absent: by its name */
  readonly from?: SecretReference;
  /** vault entry of a value that came with the request and belongs to this sandbox alone */
  readonly ownValue?: string;
};

/** A sandbox as it is kept over restarts. Never holds a secret's value or a placeholder. */
export type SandboxRecord = {
  readonly uuid: string;
  readonly name: string;
  readonly backend: "bubblewrap" | "docker" | "nomad" | "qemu";
  readonly profile: ProfileName;
  readonly template?: string;
  readonly image?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** the caller's own, without placeholders and CA variables */
  readonly env: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<LimitName, number | null>>;
  readonly requiredLimits: readonly LimitName[];
  readonly enforcedBy?: Readonly<Record<LimitName, EnforcedBy>>;
  readonly allow: readonly string[];
  /** ports of services on the host that it may reach */
  readonly hostPorts?: readonly number[];
  /** which secret goes to which host, never a value */
  readonly secrets: readonly SecretBindingRecord[];
  /** files with logins that it is given with placeholders in them; what of them is a token, never one */
  readonly secretFiles?: readonly SecretFileDefinition[];
  readonly mounts: readonly Mount[];
  readonly workspace?: { readonly path: string; readonly mode: "direct" | "copy"; readonly owner?: FileOwner; readonly apply?: boolean };
  /** made for one command, and gone with it */
  readonly isEphemeral?: boolean;
  /** the policy generation it is under, and ports that rules name but that it does not listen on */
  readonly policy?: { readonly generation: number; readonly restartForPorts: readonly number[] };
  readonly state: SandboxState;
  readonly reason?: string;
  /** ms since 1970 */
  readonly createdAt: number;
  readonly expiresAt?: number;
};

/** Where records are kept; the store implements it. */
export interface SandboxRepository {
  /** @throws CONFLICT when a sandbox of that name exists */
  insert(record: SandboxRecord): void;
  update(
    uuid: string,
    change: Partial<Pick<SandboxRecord, "state" | "reason" | "expiresAt" | "enforcedBy" | "allow" | "policy" | "isEphemeral">>,
  ): void;
  /** Makes this process its owner; false when it belongs to another one that lives, or is gone. Of several that try, one succeeds. */
  claim(uuid: string, state: SandboxState): boolean;
  /** another process that lives has it running */
  isRunElsewhere(uuid: string): boolean;
  /** marks as stopped what dead processes left running */
  markOrphansStopped(): readonly SandboxRecord[];
  byName(name: string): SandboxRecord | undefined;
  byUuid(uuid: string): SandboxRecord | undefined;
  list(filter?: { readonly label?: readonly [key: string, value: string] }): readonly SandboxRecord[];
  /** keeps the row for usage queries, frees the name */
  remove(uuid: string): void;
}

/** Where detached commands are kept; the store implements it. */
export interface DetachedRepository {
  insert(exec: StoredExec): void;
  finish(id: string, status: "completed" | "failed", exitCode: number | null): void;
  get(sandboxUuid: string, id: string): StoredExec | undefined;
  /** oldest first */
  list(sandboxUuid: string): readonly StoredExec[];
  /** those whose sandbox ended without anybody who saw how they did */
  failRunning(sandboxUuid: string): number;
  remove(id: string): void;
  removeAll(sandboxUuid: string): void;
}
