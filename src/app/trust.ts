import { INSIDE } from "../sandbox/inside.ts";

/** Files that every sandbox with a network gets: the roots it has to trust, under the names that programs look for. */
export function trustFiles(bundlePem: string): Readonly<Record<string, string>> {
  return { [INSIDE.trustBundle]: bundlePem };
}
