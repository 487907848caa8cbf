import type { SecretReference } from "../schema/secret-reference.ts";

/** As it is shown to people: where the value is, never what it is. */
export function describeReference(reference: SecretReference): string {
  if ("env" in reference) return `environment variable ${reference.env}`;
  if ("file" in reference) return `file ${reference.file}`;
  if ("command" in reference) return `command ${reference.command[0]}`;
  return `vault entry ${reference.vault}`;
}
