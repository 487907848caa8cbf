import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, errnoOf } from "../base/error.ts";

const MAX_BYTES = 4 * 1024 * 1024;
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/**
 * Reads a PEM file of roots that a key of the configuration names, and checks every certificate in it: a bundle that is half read
 * fails later, on some host, with a message about that host.
 *
 * @returns the certificates only, in PEM
 * @throws CONFIG_INVALID naming key and file
 */
export async function loadCaFile(key: string, file: string): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw bad(key, file, `cannot be read (${errnoOf(error) ?? "failed"})`, "check the path and its permissions", error);
  });
  if (bytes.length > MAX_BYTES) throw bad(key, file, "is larger than 4 MiB", "name a PEM file of certificates");
  const text = bytes.toString("latin1");
  if (text.includes("PRIVATE KEY-----")) throw bad(key, file, "holds a private key", "name a file of certificates only");
  const blocks = text.match(BLOCK) ?? [];
  if (blocks.length === 0)
    throw bad(key, file, "holds no certificate in PEM", "convert it: openssl x509 -inform der -in FILE -out FILE.pem");
  for (const [at, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw bad(key, file, `has a certificate that cannot be read, number ${at + 1}`, "remove or replace it", error);
    }
  }
  return `${blocks.join("\n")}\n`;
}

function bad(key: string, file: string, message: string, hint: string, cause?: unknown): AppError {
  return new AppError("CONFIG_INVALID", `${key}: ${file} ${message}`, { hint, ...(cause === undefined ? {} : { cause }) });
}
