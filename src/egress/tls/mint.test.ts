import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { mintCertificate } from "./mint.ts";
import { integer, oid, time } from "./der.ts";

const DAY = 86_400_000;
const NOW = Date.parse("2026-11-21T12:00:00Z");
const issuerPair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const leafPair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const issuer = { subject: "test authority", ...issuerPair };

function leaf(host: string): X509Certificate {
  return new X509Certificate(
    mintCertificate({
      subject: host.slice(0, 64),
      publicKey: leafPair.publicKey,
      issuer,
      notBefore: NOW - DAY,
      notAfter: NOW + 40 * DAY,
      kind: "leaf",
      host,
    }),
  );
}

test.each([
  ["a.example.com", "DNS:a.example.com"],
  ["93.184.216.34", "IP Address:93.184.216.34"],
  ["2606:2800:220::1", "IP Address:2606:2800:220:0:0:0:0:1"],
  ["::1", "IP Address:0:0:0:0:0:0:0:1"],
  [`${"a".repeat(63)}.${"b".repeat(63)}.example.com`, `DNS:${"a".repeat(63)}.${"b".repeat(63)}.example.com`],
])("a leaf for %s names it", (host, names) => {
  const certificate = leaf(host);
  expect(certificate.subjectAltName).toBe(names);
  expect(certificate.verify(issuerPair.publicKey)).toBe(true);
  expect(certificate.validFrom).toBe("Nov 20 12:00:00 2026 GMT");
});

function authority(pair: typeof issuerPair): X509Certificate {
  const own = { subject: issuer.subject, ...pair };
  return new X509Certificate(
    mintCertificate({
      subject: own.subject,
      publicKey: own.publicKey,
      issuer: own,
      notBefore: NOW,
      notAfter: NOW + 3650 * DAY,
      kind: "authority",
    }),
  );
}

test("OpenSSL finds the issuer by key identifier, not by name alone; serials are positive and differ", () => {
  const certificate = leaf("a.example.com");
  expect(certificate.checkIssued(authority(issuerPair))).toBe(true);
  // same name, other key: only the identifiers tell
  expect(certificate.checkIssued(authority(generateKeyPairSync("ec", { namedCurve: "P-256" })))).toBe(false);
  expect(certificate.issuer).toBe("CN=test authority");
  const serials = Array.from({ length: 200 }, () => leaf("a.example.com").serialNumber);
  expect(new Set(serials).size).toBe(200);
  // first bit 0 (positive), second bit 1 (never shortened)
  expect(serials.every((serial) => /^[4-7]/.test(serial) && serial.length === 32)).toBe(true);
});

test("DER: integers are shortest and never negative, object identifiers and times are right", () => {
  expect(integer(Buffer.from([0x80]))).toEqual(Buffer.from([2, 2, 0, 0x80]));
  expect(integer(Buffer.from([0, 0, 1]))).toEqual(Buffer.from([2, 1, 1]));
  expect(oid("1.2.840.10045.4.3.2").toString("hex")).toBe("06082a8648ce3d040302");
  expect(time(Date.UTC(2049, 11, 31)).toString("latin1")).toContain("491231000000Z");
  expect(time(Date.UTC(2050, 0, 1)).toString("latin1")).toContain("20500101000000Z");
});
