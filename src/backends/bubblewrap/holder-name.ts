import type { ProcessIdentity } from "../../base/process-identity.ts";

/**
 * Names of files and groups that say who holds them, so that what a dead process left is known by its name alone and its removal
 * can hit nothing else.
 */
export function holderName(holder: ProcessIdentity, what: string): string {
  return [holder.pid, holder.startTicks, holder.bootId, holder.pidNamespace, what].join(".");
}

export function parseHolderName(name: string): { readonly holder: ProcessIdentity; readonly what: string } | undefined {
  const match = /^(\d+)\.(\d+)\.([0-9a-f]+)\.(\d+)\.([0-9A-Za-z-]+)$/.exec(name);
  if (match === null) return undefined;
  const [, pid = "", startTicks = "", bootId = "", pidNamespace = "", what = ""] = match;
  return { holder: { pid: Number(pid), startTicks, bootId, pidNamespace }, what };
}
