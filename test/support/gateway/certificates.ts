import { generateKeyPairSync } from "node:crypto";
import { mintCertificate } from "../../../src/egress/tls/mint.ts";

const DAY = 24 * 60 * 60 * 1000;

export type TestAuthority = {
  /** PEM */
  readonly ca: string;
  server(host: string, options?: { readonly expired?: boolean }): { readonly key: string; readonly cert: string };
};

/** An authority for upstream servers in tests, unknown to everybody else. */
export function testAuthority(): TestAuthority {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = { subject: "test upstream authority", privateKey: pair.privateKey, publicKey: pair.publicKey };
  const now = Date.now();
  const ca = mintCertificate({
    subject: issuer.subject,
    publicKey: pair.publicKey,
    issuer,
    notBefore: now - DAY,
    notAfter: now + DAY,
    kind: "authority",
  });
  return {
    ca,
    server: (host, options = {}) => {
      const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const cert = mintCertificate({
        subject: host,
        publicKey: own.publicKey,
        issuer,
        notBefore: now - 3 * DAY,
        notAfter: options.expired === true ? now - 2 * DAY : now + DAY,
        kind: "leaf",
        host,
      });
      return { key: own.privateKey.export({ type: "pkcs8", format: "pem" }).toString(), cert };
    },
  };
}
