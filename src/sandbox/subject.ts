import type { Actor, NewEvent } from "../schema/event.ts";
import type { SandboxRecord } from "./record.ts";
import type { WorkspaceResult } from "./workspace/session.ts";

/** Who asked, and under which request. */
export type Asker = { readonly actor: Actor; readonly requestId?: string };

export const SYSTEM: Asker = { actor: { kind: "system", user_id: "agentkernel" } };

/** What every event about a sandbox says of it, and of who asked. */
export function subjectOf(asker: Asker, record: SandboxRecord) {
  return {
    actor: asker.actor,
    sandbox: record.name,
    sandbox_uuid: record.uuid,
    ...(asker.requestId === undefined ? {} : { request_id: asker.requestId }),
    ...(Object.keys(record.labels).length === 0 ? {} : { labels: { ...record.labels } }),
  };
}

/** What became of a copied workspace. */
export function workspaceEventOf(asker: Asker, record: SandboxRecord, result: WorkspaceResult): NewEvent {
  return {
    ...subjectOf(asker, record),
    type: "sandbox.workspace",
    operation: result.conflict !== undefined ? "conflict" : result.applied ? "apply" : "copy",
    outcome: result.conflict === undefined ? "info" : "error",
    path: record.workspace?.path ?? "",
    created: result.created,
    modified: result.modified,
    deleted: result.deleted,
    sensitive: [...result.sensitive],
    ...(result.conflict === undefined ? {} : { reason: result.conflict }),
  };
}

/** A host name of at most 63 characters of letters, digits and hyphens. */
export function hostnameOf(name: string): string {
  return (
    name
      .replace(/[^A-Za-z0-9-]/g, "-")
      .slice(0, 63)
      .replace(/^-+|-+$/g, "") || "sandbox"
  );
}
