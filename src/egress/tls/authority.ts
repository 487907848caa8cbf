import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, X509Certificate, type KeyObject } from "node:crypto";
import { link, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errnoOf, isDiskFull } from "../../base/error.ts";
import type { Clock } from "../../base/clock.ts";
import { mintCertificate } from "./mint.ts";

/** The installation's certificate authority: one key, made once, readable by its owner alone. */
export interface Authority {
  /** PEM */
  readonly certificate: string;
  /** a leaf for one host, signed by this authority, valid from yesterday for 40 days */
  leaf(host: string): Leaf;
}

export type Leaf = {
  /** PEM, leaf only: clients have the authority in their bundle */
  readonly certificate: string;
  /** PEM; one key for all leaves */
  readonly key: string;
  /** ms since 1970 */
  readonly notAfter: number;
};

const FILE = "authority.pem";
const DAY = 24 * 60 * 60 * 1000;
const SUBJECT = "agentkernel local authority";

/**
 * Loads the authority of `directory` or makes it. Key and certificate are one file of mode 0600 that appears whole by `link`, so
 * that of several processes starting at once one wins and the others read its file.
 *
 * @throws AppError STATE_UNUSABLE when the file is readable by others, damaged or cannot be written
 */
export async function createAuthority(directory: string, clock: Clock): Promise<Authority> {
  const path = join(directory, FILE);
  const text = (await readAuthority(path)) ?? (await makeAuthority(directory, path, clock));
  return parseAuthority(path, text, clock);
}

async function readAuthority(path: string): Promise<string | undefined> {
  try {
    const facts = await stat(path);
    if ((facts.mode & 0o077) !== 0) {
      throw new AppError("STATE_UNUSABLE", `the authority's key ${path} is readable by other users`, {
        hint: `remove ${path} and start sandboxes anew: a key that others could read must not be trusted any longer`,
      });
    }
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (error instanceof AppError) throw error;
    throw new AppError("STATE_UNUSABLE", `could not read the authority's key ${path}`, { cause: error });
  }
}

async function makeAuthority(directory: string, path: string, clock: Clock): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = clock.now();
  const certificate = mintCertificate({
    subject: SUBJECT,
    publicKey,
    issuer: { subject: SUBJECT, privateKey, publicKey },
    notBefore: now - DAY,
    notAfter: now + 3650 * DAY,
    kind: "authority",
  });
  const text = `${privateKey.export({ type: "pkcs8", format: "pem" }).toString()}${certificate}`;
  const draft = join(directory, `.${FILE}.${randomBytes(8).toString("hex")}`);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using file = await open(draft, "wx", 0o600);
    await file.writeFile(text);
    await file.sync();
    await link(draft, path);
    return text;
  } catch (error) {
    const theirs = errnoOf(error) === "EEXIST" ? await readAuthority(path) : undefined;
    if (theirs !== undefined) return theirs;
    throw new AppError(isDiskFull(error) ? "DISK_FULL" : "STATE_UNUSABLE", `could not write the authority's key ${path}`, {
      cause: error,
      hint: isDiskFull(error) ? "free space on its file system" : `make ${directory} writable`,
    });
  } finally {
    await unlink(draft).catch((error: unknown) => {
      if (errnoOf(error) !== "ENOENT") throw error;
    });
  }
}

function parseAuthority(path: string, text: string, clock: Clock): Authority {
  const remedy = { hint: `remove ${path}; a new authority is made at the next start, and sandboxes have to be started anew` };
  let privateKey: KeyObject;
  let parsed: X509Certificate;
  try {
    privateKey = createPrivateKey(text);
    parsed = new X509Certificate(text);
  } catch (error) {
    throw new AppError("STATE_UNUSABLE", `the authority's key ${path} is damaged`, { ...remedy, cause: error });
  }
  if (!parsed.checkPrivateKey(privateKey)) throw new AppError("STATE_UNUSABLE", `key and certificate in ${path} do not fit`, remedy);
  if (Date.parse(parsed.validTo) < clock.now() + 45 * DAY) throw new AppError("STATE_UNUSABLE", `the authority ${path} expires`, remedy);
  const publicKey = createPublicKey(privateKey);
  const leafPair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leafKey = leafPair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return {
    certificate: parsed.toString(),
    leaf: (host) => {
      const now = clock.now();
      const notAfter = now + 40 * DAY;
      const certificate = mintCertificate({
        // a common name is limited to 64 characters (RFC 5280 A.1) and ignored where a subjectAltName stands
        subject: host.slice(0, 64),
        publicKey: leafPair.publicKey,
        issuer: { subject: SUBJECT, privateKey, publicKey },
        notBefore: now - DAY,
        notAfter,
        kind: "leaf",
        host,
      });
      return { certificate, key: leafKey, notAfter };
    },
  };
}
