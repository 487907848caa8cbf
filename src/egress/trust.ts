import type { Clock } from "../base/clock.ts";
import { type Authority, createAuthority } from "./tls/authority.ts";
import { systemRoots } from "./tls/roots.ts";

/** Whom the gateway is to sandboxes, and whom it trusts itself: known before the gateway is, since a sandbox is made with it. */
export type Trust = {
  readonly authority: Authority;
  /** PEM: the system's roots and the operator's */
  readonly roots: string;
  /** PEM: our authority and `roots` */
  readonly bundlePem: string;
};

/** @throws AppError STATE_UNUSABLE when the authority's key cannot be used */
export async function openTrust(options: {
  readonly authorityDir: string;
  readonly extraCa?: string;
  readonly clock: Clock;
}): Promise<Trust> {
  const authority = await createAuthority(options.authorityDir, options.clock);
  const roots = `${await systemRoots()}${options.extraCa === undefined ? "" : withNewline(options.extraCa)}`;
  return { authority, roots, bundlePem: `${withNewline(authority.certificate)}${roots}` };
}

function withNewline(pem: string): string {
  return pem.endsWith("\n") ? pem : `${pem}\n`;
}
