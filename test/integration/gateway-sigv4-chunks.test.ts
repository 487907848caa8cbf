import { execFile } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret } from "../../src/egress/gateway.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";

/** Uploads to S3 whose chunks are signed one by one, with the placeholder inside and with the real key outside. */

const run = promisify(execFile);
const HOST = "bucket.s3.us-east-1.amazonaws.com";
const REAL = { id: "AKIAREALREALREALREAL", key: "real/secret+key/that=must-not-leak-anywhere1" };
const FAKE = { id: "AKIAplaceholder0123456789", key: "placeholder+secret0123456789abcdefghijklmno" };
const TIME = "20261121T150000Z";
const SCOPE = "20261121/us-east-1/s3/aws4_request";
const [PLAIN, TRAILED] = ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"];
const CHECKSUM = "x-amz-checksum-crc32c:sOO8/Q==";

const secret = (name: string, part: keyof typeof REAL): GatewaySecret => ({
  name,
  placeholder: FAKE[part],
  value: new Secret(REAL[part]),
  host: HOST,
  header: "authorization",
  scheme: "sigv4",
});

// what AWS' reference says, written on its own
const sha = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const signer = (key: string) => {
  const signing = SCOPE.split("/").reduce<Buffer>(
    (with_, step) => createHmac("sha256", with_).update(step).digest(),
    Buffer.from(`AWS4${key}`),
  );
  return (...lines: string[]): string => createHmac("sha256", signing).update(lines.join("\n")).digest("hex");
};

function seedOf(key: string, headers: Readonly<Record<string, unknown>>, names: string): string {
  const lines = names.split(";").map((name) => `${name}:${String(headers[name])}\n`);
  const canonical = ["PUT", "/object", "", lines.join(""), names, String(headers["x-amz-content-sha256"])].join("\n");
  return signer(key)("AWS4-HMAC-SHA256", TIME, SCOPE, sha(canonical));
}

function chunkSignatures(key: string, seed: string, chunks: readonly Buffer[]): readonly string[] {
  const sign = signer(key);
  const signatures: string[] = [];
  for (const chunk of [...chunks, Buffer.alloc(0)])
    signatures.push(sign("AWS4-HMAC-SHA256-PAYLOAD", TIME, SCOPE, signatures.at(-1) ?? seed, sha(""), sha(chunk)));
  return signatures;
}

function bodyOf(key: string, seed: string, chunks: readonly Buffer[], hasTrailer: boolean): Buffer {
  const signatures = chunkSignatures(key, seed, chunks);
  const parts = chunks.flatMap((chunk, i) => [
    Buffer.from(`${chunk.length.toString(16)};chunk-signature=${signatures[i]}\r\n`),
    chunk,
    Buffer.from("\r\n"),
  ]);
  const last = `0;chunk-signature=${signatures.at(-1)}\r\n`;
  const trailer = signer(key)("AWS4-HMAC-SHA256-TRAILER", TIME, SCOPE, signatures.at(-1) ?? "", sha(`${CHECKSUM}\n`));
  return Buffer.concat([
    ...parts,
    Buffer.from(hasTrailer ? `${last}${CHECKSUM}\r\nx-amz-trailer-signature:${trailer}\r\n\r\n` : `${last}\r\n`),
  ]);
}

/** A PUT as a client inside makes it. */
function upload(chunks: readonly Buffer[], payload = PLAIN, hasLength = true) {
  const size = bodyOf(FAKE.key, "0".repeat(64), chunks, payload === TRAILED).length;
  const headers: Record<string, string> = {
    "content-encoding": "aws-chunked",
    ...(hasLength ? { "content-length": String(size) } : {}),
    host: HOST,
    "x-amz-content-sha256": payload,
    "x-amz-date": TIME,
    "x-amz-decoded-content-length": String(chunks.reduce((sum, { length }) => sum + length, 0)),
    ...(payload === TRAILED ? { "x-amz-trailer": "x-amz-checksum-crc32c" } : {}),
  };
  const names = Object.keys(headers).toSorted().join(";");
  const seed = seedOf(FAKE.key, headers, names);
  const authorization = `AWS4-HMAC-SHA256 Credential=${FAKE.id}/${SCOPE}, SignedHeaders=${names}, Signature=${seed}`;
  return { headers: { ...headers, authorization }, body: bodyOf(FAKE.key, seed, chunks, payload === TRAILED) };
}

async function setting() {
  const stack = new AsyncDisposableStack();
  const seen: { readonly headers: IncomingMessage["headers"]; readonly body: Buffer }[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        seen.push({ headers: request.headers, body: Buffer.concat(parts) });
        response.writeHead(200).end("stored");
      });
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [HOST],
      upstreams: [upstream.override(HOST)],
      secrets: [secret("AWS_ACCESS_KEY_ID", "id"), secret("AWS_SECRET_ACCESS_KEY", "key")],
    }),
  );
  return { upstream, fixture, seen, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** The server has what the real key would have signed, byte for byte. */
function expectSigned(
  arrived: { readonly headers: IncomingMessage["headers"]; readonly body: Buffer } | undefined,
  chunks: readonly Buffer[],
  hasTrailer: boolean,
): void {
  const authorization = arrived?.headers.authorization ?? "";
  const [, id, names = "", seed = ""] = /Credential=([^/]+)\/.*SignedHeaders=([^,]+), Signature=([0-9a-f]{64})/.exec(authorization) ?? [];
  expect(id).toBe(REAL.id);
  expect(seed).toBe(seedOf(REAL.key, arrived?.headers ?? {}, names));
  expect(names.split(";")).toContain("x-amz-decoded-content-length");
  const expected = bodyOf(REAL.key, seed, chunks, hasTrailer);
  expect(sha(arrived?.body ?? "")).toBe(sha(expected));
}

const inChunks = (size: number, chunk: number): readonly Buffer[] => {
  const data = randomBytes(size);
  return Array.from({ length: Math.ceil(size / chunk) }, (_, i) => data.subarray(i * chunk, (i + 1) * chunk));
};

describe("an upload whose chunks are signed", () => {
  test.each([
    ["small", 20_000, 8192, PLAIN],
    ["small, with a trailer", 20_000, 8192, TRAILED],
    ["empty", 0, 8192, PLAIN],
    ["of one chunk that is as large as may be", 1024 * 1024, 1024 * 1024, PLAIN],
    ["large", 9 * 1024 * 1024 + 17, 64 * 1024, PLAIN],
    ["large, with a trailer", 9 * 1024 * 1024 + 17, 128 * 1024, TRAILED],
  ])("that is %s is signed with the real key", async (_name, size, chunk, payload) => {
    await using at = await setting();
    const chunks = inChunks(size, chunk);
    const answer = await fetchInside(at.fixture, `https://${HOST}/object`, { method: "PUT", ...upload(chunks, payload) });
    expect([answer.status, answer.text]).toEqual([200, "stored"]);
    expectSigned(at.seen[0], chunks, payload === TRAILED);
    await waitFor(() => at.fixture.seen.exchanges.length === 1);
    expect(at.fixture.seen.exchanges[0]).toMatchObject({ secret_injected: true });
    expect(at.fixture.seen.findings).toEqual([]);
  });

  test.each<[string, (body: Buffer) => Buffer, RegExp]>([
    ["a chunk that was changed", withOtherData, /was not signed with the placeholder of AWS_SECRET_ACCESS_KEY/],
    ["a first chunk of another signer", (body) => withOtherSignature(body, body.indexOf(SIGNED)), /was not signed with the placeholder/],
    ["a last chunk of another signer", (body) => withOtherSignature(body, body.lastIndexOf(SIGNED)), /was not signed with the placeholder/],
    ["no chunks", (body) => Buffer.alloc(body.length, "x"), /is not made of signed chunks to its end/],
    ["a chunk that is too large", (body) => Buffer.from(`100001${body.toString("latin1").slice(4, -2)}`, "latin1"), /larger than 1 MiB/],
  ])("ends at %s", async (_name, change, message) => {
    for (const size of [20_000, 3 * 1024 * 1024]) {
      await using at = await setting();
      const { headers, body } = upload(inChunks(size, 8192));
      const answer = await fetchInside(at.fixture, `https://${HOST}/object`, { method: "PUT", headers, body: change(body) });
      expect(answer.status).toBe(403);
      expect(answer.text).toMatch(message);
      // the server saw no whole request, and of a small one nothing
      expect(at.seen).toEqual([]);
      if (size === 20_000) expect(at.upstream.connections()).toBe(0);
      expect(at.fixture.seen.findings).toMatchObject([{ finding: "secret_misplaced", outcome: "deny" }]);
    }
  });

  test("that ends before its last chunk is no upload", async () => {
    await using at = await setting();
    const chunks = inChunks(3 * 1024 * 1024, 8192);
    // without a length, so that it is a whole request all the same
    const { headers, body } = upload(chunks, PLAIN, false);
    const ask = { method: "PUT", headers: { ...headers, "transfer-encoding": "chunked" } };
    const cut = body.subarray(0, body.lastIndexOf("0;chunk-signature"));
    const answer = await fetchInside(at.fixture, `https://${HOST}/object`, { ...ask, body: cut });
    expect([answer.status, at.seen]).toEqual([403, []]);
    expect(answer.text).toMatch(/is not made of signed chunks to its end/);
    expect((await fetchInside(at.fixture, `https://${HOST}/object`, { ...ask, body })).status).toBe(200);
    expectSigned(at.seen[0], chunks, false);
  });
});

const SIGNED = ";chunk-signature=";

/** One bit of what the second chunk holds. */
function withOtherData(body: Buffer): Buffer {
  const other = Buffer.from(body);
  const at = other.indexOf(SIGNED, other.indexOf(SIGNED) + 1) + SIGNED.length + 100;
  other[at] = (other[at] ?? 0) ^ 1;
  return other;
}

function withOtherSignature(body: Buffer, at: number): Buffer {
  const other = Buffer.from(body);
  other.write("0".repeat(64), at + SIGNED.length, "latin1");
  return other;
}

describe("curl", requires("curl"), () => {
  test("uploads a file whose chunks are signed, waiting for the server to go on", async () => {
    await using at = await setting();
    await using dir = await tempDir();
    const chunks = inChunks(2 * 1024 * 1024, 64 * 1024);
    const { headers, body } = upload(chunks);
    const [ca, file] = [join(dir.path, "ca.pem"), join(dir.path, "body")];
    await writeFile(ca, at.fixture.gateway.authorityPem);
    await writeFile(file, body);
    const port = await at.fixture.reach(HOST, 443);
    const given = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
    const where = ["--cacert", ca, "--connect-to", `${HOST}:443:127.0.0.1:${port}`, `https://${HOST}/object`];
    const { stdout } = await run("curl", ["-s", "-T", file, "-H", "Expect: 100-continue", ...given, ...where]);
    expect(stdout).toBe("stored");
    expectSigned(at.seen[0], chunks, false);
  });
});
