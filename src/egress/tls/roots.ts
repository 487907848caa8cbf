import { readFileSync } from "node:fs";
import { errnoOf } from "../../base/error.ts";

const SYSTEM_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/** PEM of the roots this machine trusts; Node's own list where the system has none. */
export async function systemRoots(): Promise<string> {
  for (const path of SYSTEM_BUNDLES) {
    try {
      const text = readFileSync(path, "utf8");
      if (text.includes("BEGIN CERTIFICATE")) return text.endsWith("\n") ? text : `${text}\n`;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  const { getCACertificates } = await import("node:tls");
  return `${getCACertificates("bundled").join("\n")}\n`;
}
