import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { countingMetrics } from "../../../test/support/gateway/metrics.ts";
import type { Authority } from "./authority.ts";
import { ServerContexts } from "./contexts.ts";
import { mintCertificate } from "./mint.ts";

const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const DAY = 86_400_000;

function authority(now: () => number): Authority & { readonly minted: string[] } {
  const minted: string[] = [];
  return {
    minted,
    certificate: "",
    leaf: (host) => {
      minted.push(host);
      const issuer = { subject: "x", ...pair };
      const notAfter = now() + 40 * DAY;
      return {
        certificate: mintCertificate({ subject: host, publicKey: pair.publicKey, issuer, notBefore: now(), notAfter, kind: "leaf", host }),
        key,
        notAfter,
      };
    },
  };
}

test("a host is minted once, the least recently used goes first, and nothing is used past half its life", () => {
  let now = Date.parse("2026-11-21T12:00:00Z");
  const source = authority(() => now);
  const contexts = new ServerContexts(source, { now: () => now, monotonic: () => now }, countingMetrics(), 2);
  const a = contexts.for("a");
  contexts.for("b");
  expect(contexts.for("a")).toBe(a);
  contexts.for("c");
  contexts.for("a");
  expect(source.minted).toEqual(["a", "b", "c"]);
  contexts.for("b");
  expect(source.minted).toEqual(["a", "b", "c", "b"]);
  expect(contexts.size).toBe(2);
  now += 21 * DAY;
  contexts.for("a");
  expect(source.minted).toEqual(["a", "b", "c", "b", "a"]);
});
