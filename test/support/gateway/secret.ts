import { Secret } from "../../../src/base/secret.ts";
import type { GatewaySecret } from "../../../src/egress/gateway.ts";

export const KEY_HOST = "api.example.com";
export const OTHER_HOST = "other.example.com";
export const PLACEHOLDER = "sk-proj-placeholder0123456789abcdef01234";
export const REAL = "sk-proj-real/value+that=must-not-leak-9X";

/** A Bearer binding to `KEY_HOST`. */
export const KEY: GatewaySecret = {
  name: "API_KEY",
  placeholder: PLACEHOLDER,
  value: new Secret(REAL),
  host: KEY_HOST,
  header: "authorization",
  scheme: "bearer",
};

/** Values of one header in a flat list. */
export function sentHeader(raw: readonly string[] | undefined, name: string): string[] {
  const found: string[] = [];
  for (let i = 0; raw !== undefined && i + 1 < raw.length; i += 2) if (raw[i]?.toLowerCase() === name) found.push(raw[i + 1] ?? "");
  return found;
}
