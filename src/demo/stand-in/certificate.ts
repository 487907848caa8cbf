import { generateKeyPairSync } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { mintCertificate } from "../../egress/tls/mint.ts";

const DAY_MS = 86_400_000;

/** An authority that lives as long as the stand-in, and a leaf for every name that is asked of it. */
export type ThrowAwayAuthority = {
  /** PEM of the authority, for whoever is to trust it */
  readonly caPem: string;
  contextFor(host: string): SecureContext;
  /** PEM of a leaf's key and certificate */
  leafFor(host: string): { readonly key: string; readonly cert: string };
};

export function throwAwayAuthority(now: number): ThrowAwayAuthority {
  const keys = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const subject = "agentkernel stand-in provider, throw-away authority";
  const span = { notBefore: now - DAY_MS, notAfter: now + 2 * DAY_MS };
  const issuer = { subject, privateKey: keys.privateKey, publicKey: keys.publicKey };
  const caPem = mintCertificate({ subject, publicKey: keys.publicKey, issuer, ...span, kind: "authority" });
  const leaf = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const key = leaf.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const leafFor = (host: string): { key: string; cert: string } => ({
    key,
    cert: mintCertificate({ subject: host, publicKey: leaf.publicKey, issuer, ...span, kind: "leaf", host }),
  });
  const contexts = new Map<string, SecureContext>();
  return {
    caPem,
    leafFor,
    contextFor(host) {
      const known = contexts.get(host);
      if (known !== undefined) return known;
      const context = createSecureContext(leafFor(host));
      contexts.set(host, context);
      return context;
    },
  };
}
