import { createHash, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { bits, explicit, implicit, integer, octets, oid, sequence, set, time, utf8, yes } from "./der.ts";

/**
 * X.509 v3 certificates (RFC 5280), EC P-256, written directly: about 0.2 ms a leaf, where a general library takes 5 ms of the
 * loop that all sandboxes share.
 */
export type CertificateRequest = {
  readonly subject: string;
  /** the certificate's own public key */
  readonly publicKey: KeyObject;
  readonly issuer: { readonly subject: string; readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  readonly notBefore: number;
  readonly notAfter: number;
  /** a certificate authority that may sign leaves and nothing deeper; else a server leaf for `host` */
  readonly kind: "authority" | "leaf";
  /** canonical name or IP address, for a leaf */
  readonly host?: string;
};

const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));

/** PEM of a fresh certificate. */
export function mintCertificate(request: CertificateRequest): string {
  const serial = randomBytes(16);
  // positive and never zero (RFC 5280 §4.1.2.2), and of constant length
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const tbs = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_SHA256,
    name(request.issuer.subject),
    sequence(time(request.notBefore), time(request.notAfter)),
    name(request.subject),
    request.publicKey.export({ type: "spki", format: "der" }),
    explicit(3, sequence(...extensions(request))),
  );
  const signature = sign("sha256", tbs, request.issuer.privateKey);
  return pem("CERTIFICATE", sequence(tbs, ECDSA_SHA256, bits(signature)));
}

function extensions(request: CertificateRequest): readonly Buffer[] {
  const own = extension("2.5.29.14", octets(keyId(request.publicKey)));
  const authority = extension("2.5.29.35", sequence(implicit(0, keyId(request.issuer.publicKey))));
  if (request.kind === "authority") {
    return [
      // path length 0: what it signs cannot sign
      extension("2.5.29.19", sequence(yes(), integer(Buffer.from([0]))), true),
      // keyCertSign, cRLSign
      extension("2.5.29.15", bits(Buffer.from([0x06]), 1), true),
      own,
      authority,
    ];
  }
  const host = request.host ?? "";
  return [
    extension("2.5.29.19", sequence(), true),
    // digitalSignature
    extension("2.5.29.15", bits(Buffer.from([0x80]), 7), true),
    // serverAuth
    extension("2.5.29.37", sequence(oid("1.3.6.1.5.5.7.3.1"))),
    extension("2.5.29.17", sequence(isIP(host) === 0 ? implicit(2, Buffer.from(host, "latin1")) : implicit(7, addressBytes(host)))),
    own,
    authority,
  ];
}

function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return critical ? sequence(oid(id), yes(), octets(value)) : sequence(oid(id), octets(value));
}

function name(commonName: string): Buffer {
  return sequence(set(sequence(oid("2.5.4.3"), utf8(commonName))));
}

/** SHA-1 of the public key bits, method 1 of RFC 5280 §4.2.1.2: an identifier, not a proof. */
function keyId(key: KeyObject): Buffer {
  const spki = key.export({ type: "spki", format: "der" });
  // a P-256 SubjectPublicKeyInfo ends in the uncompressed point of 65 bytes
  return createHash("sha1").update(spki.subarray(-65)).digest();
}

/** The 4 or 16 bytes of an address in canonical text. */
function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::");
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const words = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((part) => {
    if (!part.includes(".")) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
