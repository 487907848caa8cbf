import { X509Certificate } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { connect } from "node:tls";
import { once } from "node:events";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createAuthority } from "../../src/egress/tls/authority.ts";
import { tlsInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { insideSandbox } from "../support/gateway/in-sandbox.ts";
import { requires } from "../support/requires.ts";
import { runIn } from "../support/run-in.ts";
import { tempDir } from "../support/temp.ts";

const HOST = "allowed.example.com";

test("what sandboxes are given holds certificates and no key", async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  expect(fixture.gateway.authorityPem).not.toContain("PRIVATE KEY");
  expect(fixture.gateway.trustBundlePem).not.toContain("PRIVATE KEY");
  expect(fixture.gateway.trustBundlePem.startsWith(fixture.gateway.authorityPem)).toBe(true);
  expect(fixture.gateway.trustBundlePem.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(50);
});

test("the authority signs servers only, and its leaves are short-lived, back-dated and sign nothing", async () => {
  await using dir = await tempDir();
  const authority = await createAuthority(dir.path, systemClock);
  const ca = new X509Certificate(authority.certificate);
  expect(ca.ca).toBe(true);
  const leaf = new X509Certificate(authority.leaf(HOST).certificate);
  expect(leaf.ca).toBe(false);
  expect(leaf.checkHost(HOST)).toBe(HOST);
  expect(leaf.checkHost(`sub.${HOST}`)).toBeUndefined();
  expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  const days = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / 86_400_000;
  expect(days).toBeLessThanOrEqual(45);
  expect(Date.parse(leaf.validFrom)).toBeLessThan(Date.now() - 23 * 3_600_000);
  expect(BigInt(`0x${leaf.serialNumber}`)).toBeGreaterThan(0n);
  expect(authority.leaf(HOST).certificate).not.toBe(authority.leaf(HOST).certificate);
});

test("two installations do not trust one another, and neither is trusted without its bundle", async () => {
  await using one = await gatewayFixture({ allow: [HOST] });
  await using two = await gatewayFixture({ allow: [HOST] });
  for (const ca of [two.gateway.authorityPem, undefined]) {
    const socket = connect({ host: "127.0.0.1", port: await one.reach(HOST, 443), servername: HOST, ...(ca === undefined ? {} : { ca }) });
    const [error] = (await once(socket, "error")) as [Error & { code: string }];
    expect(error.code).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/);
  }
  (await tlsInside(one, HOST)).destroy();
});

test("the key is in one file of mode 0600 that only the host can see", async () => {
  await using dir = await tempDir();
  await createAuthority(dir.path, systemClock);
  expect(await readdir(dir.path)).toEqual(["authority.pem"]);
  expect(await readFile(`${dir.path}/authority.pem`, "utf8")).toContain("PRIVATE KEY");
  expect((await stat(`${dir.path}/authority.pem`)).mode & 0o777).toBe(0o600);
});

test("from inside a sandbox there is the certificate, and no private key anywhere", requires("bwrap", "python3"), async () => {
  await using fixture = await gatewayFixture({ allow: [HOST] });
  await using inside = await insideSandbox(fixture);
  const found = await runIn(inside.sandbox, [
    "/bin/sh",
    "-c",
    "grep -rlsE 'BEGIN [A-Z ]*PRIVATE KEY' /etc /run /home /workspace /tmp /dev/shm /var; grep -c 'BEGIN CERTIFICATE' /etc/gateway-ca.pem; find / -xdev -name 'authority.pem' 2>/dev/null",
  ]);
  expect([found.stdout, found.stderr]).toEqual(["1\n", ""]);
});
