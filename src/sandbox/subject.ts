import type { Actor } from "../schema/event.ts";
import type { SandboxRecord } from "./record.ts";

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

/** A host name of at most 63 characters of letters, digits and hyphens. */
export function hostnameOf(name: string): string {
  return (
    name
      .replace(/[^A-Za-z0-9-]/g, "-")
      .slice(0, 63)
      .replace(/^-+|-+$/g, "") || "sandbox"
  );
}
