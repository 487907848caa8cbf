import { execFile } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { GatewaySecret } from "../../src/egress/gateway.ts";
import { formatAuthorization, sha256, sign, type SignedRequest } from "../../src/secrets/sigv4.ts";
import { fetchInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { requires } from "../support/requires.ts";
import { testUpstream } from "../support/gateway/upstream.ts";
import { tempDir } from "../support/temp.ts";
import { waitFor } from "../support/wait-for.ts";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

const run = promisify(execFile);
const HOST = "bucket.s3.us-east-1.amazonaws.com";
const OTHER = "sts.eu-west-1.amazonaws.com";
const REAL = {
  id: "AKIAREALREALREALREAL",
  key: "real/secret+key/that=must-not-leak-anywhere1",
  token: "FwoGZXIvYXdzEREALsessiontoken0123456789/+=abcdef",
};
const FAKE = {
  id: "AKIAplaceholder0123456789",
  key: "placeholder+secret0123456789abcdefghijklmno",
  token: "FwoPlaceholderToken0123456789abcdefghijklmnopq012",
};

const secret = (name: string, part: keyof typeof REAL, host = "*.amazonaws.com"): GatewaySecret => ({
  name,
  placeholder: FAKE[part],
  value: new Secret(REAL[part]),
  host,
  header: "authorization",
  scheme: "sigv4",
});
const SECRETS = [
  { ...secret("AWS_ACCESS_KEY_ID", "id", HOST) },
  { ...secret("AWS_SECRET_ACCESS_KEY", "key", HOST) },
  { ...secret("AWS_SESSION_TOKEN", "token", HOST) },
  { ...secret("AWS_ACCESS_KEY_ID", "id", OTHER) },
  { ...secret("AWS_SECRET_ACCESS_KEY", "key", OTHER) },
  { ...secret("AWS_SESSION_TOKEN", "token", OTHER) },
];

/** What AWS does, written on its own: the canonical request of what arrived, and the signature that the real key makes of it. */
function expectedSignature(request: IncomingMessage, body: Buffer, style: "s3" | "other"): string {
  const url = new URL(request.url ?? "/", "https://x");
  const authorization = request.headers.authorization;
  const query = new Map(
    (request.url ?? "")
      .split("?")[1]
      ?.split("&")
      .map((pair) => pair.split("=").map(decodeURIComponent) as [string, string]) ?? [],
  );
  const isPresigned = authorization === undefined;
  const credential = isPresigned ? (query.get("X-Amz-Credential") ?? "") : (/Credential=([^,]+)/.exec(authorization)?.[1] ?? "");
  const names = (isPresigned ? (query.get("X-Amz-SignedHeaders") ?? "") : (/SignedHeaders=([^,]+)/.exec(authorization)?.[1] ?? "")).split(
    ";",
  );
  const [id, date = "", region = "", service = ""] = credential.split("/");
  expect(id).toBe(REAL.id);
  const rfc3986 = (text: string): string =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const path = (request.url ?? "").split("?")[0] ?? "";
  const canonical = [
    request.method,
    style === "s3" ? path : path.split("/").map(rfc3986).join("/"),
    [...query]
      .filter(([name]) => name !== "X-Amz-Signature")
      .map(([name, value]) => `${rfc3986(name)}=${rfc3986(value ?? "")}`)
      .sort()
      .join("&"),
    ...names.map(
      (name) =>
        `${name}:${String(request.headers[name] ?? "")
          .trim()
          .replace(/\s+/g, " ")}`,
    ),
    "",
    names.join(";"),
    request.headers["x-amz-content-sha256"] ??
      (isPresigned && style === "s3" ? "UNSIGNED-PAYLOAD" : createHash("sha256").update(body).digest("hex")),
  ].join("\n");
  const time = isPresigned ? query.get("X-Amz-Date") : request.headers["x-amz-date"];
  const text = [
    "AWS4-HMAC-SHA256",
    time,
    `${date}/${region}/${service}/aws4_request`,
    createHash("sha256").update(canonical).digest("hex"),
  ].join("\n");
  const key = [date, region, service, "aws4_request"].reduce(
    (with_, step) => createHmac("sha256", with_).update(step).digest(),
    Buffer.from(`AWS4${REAL.key}`),
  );
  expect(url.pathname).toBeDefined();
  return createHmac("sha256", key).update(text).digest("hex");
}

async function setting(style: "s3" | "other" = "s3") {
  const stack = new AsyncDisposableStack();
  const seen: { readonly headers: IncomingMessage["headers"]; readonly url: string; readonly good: boolean }[] = [];
  const upstream = stack.use(
    await testUpstream((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const sent = request.headers.authorization ?? request.url ?? "";
        const signature = /Signature=([0-9a-f]{64})/.exec(sent)?.[1];
        const good = signature === expectedSignature(request, Buffer.concat(chunks), style);
        seen.push({ headers: request.headers, url: request.url ?? "", good });
        // as S3 does: an error repeats what was sent
        response
          .writeHead(good ? 200 : 403)
          .end(`<AWSAccessKeyId>${REAL.id}</AWSAccessKeyId><Token>${String(request.headers["x-amz-security-token"])}</Token>`);
      });
    }),
  );
  const fixture = stack.use(
    await gatewayFixture({
      allow: [HOST, OTHER, "elsewhere.example.com"],
      upstreams: [upstream.override(HOST), upstream.override(OTHER)],
      secrets: SECRETS,
    }),
  );
  return { upstream, fixture, seen, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const TIME = "20261121T150000Z";
const SCOPE = { date: "20261121", region: "us-east-1", service: "s3" };

/** A request as a client inside signs it. */
function signed(
  over: Partial<SignedRequest> & { readonly extra?: Readonly<Record<string, string>> } = {},
  key = FAKE.key,
): Record<string, string> {
  const { extra = {}, ...rest } = over;
  const headers: Record<string, string> = {
    host: HOST,
    "x-amz-date": TIME,
    "x-amz-content-sha256": sha256(""),
    "x-amz-security-token": FAKE.token,
    ...extra,
  };
  const request: SignedRequest = {
    method: "GET",
    path: "/",
    query: "",
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
    signedHeaders: Object.keys(headers).toSorted(),
    payload: headers["x-amz-content-sha256"] ?? sha256(""),
    time: TIME,
    scope: SCOPE,
    ...rest,
  };
  const signature = sign(request, key, request.scope.service === "s3" ? "as sent" : "encoded twice");
  return {
    ...headers,
    authorization: formatAuthorization({ id: FAKE.id, scope: request.scope, signedHeaders: request.signedHeaders, signature }),
  };
}

test("a signature in the header is made again, with the session token, and what is answered is masked", async () => {
  await using at = await setting();
  const path = "/a%20key/with%2Fslash/x+y~";
  const query = "list-type=2&prefix=a%2Fb&empty";
  const answer = await fetchInside(at.fixture, `https://${HOST}${path}?${query}`, {
    headers: signed({ path, query, extra: { range: "bytes=0-9", "x-amz-meta-a": "  two   spaces " } }),
    path: `${path}?${query}`,
  });
  expect([answer.status, at.seen]).toMatchObject([200, [{ good: true }]]);
  expect(at.seen[0]?.headers["x-amz-security-token"]).toBe(REAL.token);
  // an answer in parts would be one that cannot be searched: the header went, and the signature with it
  expect(at.seen[0]?.headers.range).toBeUndefined();
  expect(answer.text).not.toContain(REAL.id);
  expect(answer.text).not.toContain(REAL.token);
  await waitFor(() => at.fixture.seen.exchanges.length === 1);
  expect(at.fixture.seen.exchanges[0]).toMatchObject({ secret_injected: true });
  for (const value of Object.values(REAL)) expect(JSON.stringify(at.fixture.seen) + JSON.stringify(at.seen[0]?.url)).not.toContain(value);
});

test.each([
  ["UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD"],
  ["chunks that are not signed", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"],
  ["its digest", sha256("hello")],
])("a body of which %s is signed passes", async (_name, payload) => {
  await using at = await setting();
  const headers = signed({ method: "PUT", path: "/x", payload, extra: { "x-amz-content-sha256": payload } });
  const answer = await fetchInside(at.fixture, `https://${HOST}/x`, { method: "PUT", headers, body: "hello" });
  expect([answer.status, at.seen[0]?.good]).toEqual([200, true]);
});

test("a service that encodes paths once more, and a client that sends no digest", async () => {
  await using at = await setting("other");
  const scope = { date: "20261121", region: "eu-west-1", service: "execute-api" };
  const body = "Action=GetCallerIdentity";
  const { "x-amz-content-sha256": _digest, ...headers } = { host: OTHER, "x-amz-date": TIME, "x-amz-content-sha256": "" };
  const request: SignedRequest = {
    method: "POST",
    path: "/a%20b/c",
    query: "",
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
    signedHeaders: ["host", "x-amz-date"],
    payload: sha256(body),
    time: TIME,
    scope,
  };
  const authorization = formatAuthorization({
    id: FAKE.id,
    scope,
    signedHeaders: request.signedHeaders,
    signature: sign(request, FAKE.key, "encoded twice"),
  });
  const answer = await fetchInside(at.fixture, `https://${OTHER}/a%20b/c`, {
    method: "POST",
    headers: { ...headers, authorization },
    body,
  });
  expect([answer.status, at.seen[0]?.good]).toEqual([200, true]);
});

/** A presigned URL as a client inside makes it. */
function presigned(): { readonly target: string; readonly signature: string } {
  const query = [
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    `X-Amz-Credential=${encodeURIComponent(`${FAKE.id}/20261121/us-east-1/s3/aws4_request`)}`,
    `X-Amz-Date=${TIME}`,
    "X-Amz-Expires=900",
    `X-Amz-Security-Token=${encodeURIComponent(FAKE.token)}`,
    "X-Amz-SignedHeaders=host",
  ].join("&");
  const request: SignedRequest = {
    method: "GET",
    path: "/x",
    query,
    headers: new Map([["host", [HOST]]]),
    signedHeaders: ["host"],
    payload: "UNSIGNED-PAYLOAD",
    time: TIME,
    scope: SCOPE,
  };
  const signature = sign(request, FAKE.key, "as sent");
  return { target: `/x?${query}&X-Amz-Signature=${signature}`, signature };
}

test("a presigned URL is signed again", async () => {
  await using at = await setting();
  const { target } = presigned();
  const answer = await fetchInside(at.fixture, `https://${HOST}${target}`, { path: target });
  expect([answer.status, at.seen[0]?.good]).toEqual([200, true]);
  expect(at.seen[0]?.url).toContain(`X-Amz-Security-Token=${encodeURIComponent(REAL.token)}`);
  await waitFor(() => at.fixture.seen.exchanges.length === 1);
  for (const value of Object.values(REAL)) expect(JSON.stringify(at.fixture.seen)).not.toContain(encodeURIComponent(value));
});

test("a signature that the real key made is nothing that an answer may repeat", async () => {
  let sent = "";
  await using upstream = await testUpstream((request, response) => {
    sent = `${request.headers.authorization ?? ""} ${request.url ?? ""}`;
    response.writeHead(307, { location: `https://${OTHER}${request.url ?? ""}`, "x-sent": request.headers.authorization ?? "" }).end(sent);
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: SECRETS });
  const inHeader = await fetchInside(fixture, `https://${HOST}/`, { headers: signed() });
  const real = /Signature=([0-9a-f]{64})/.exec(sent)?.[1] ?? "none";
  expect(inHeader.status).toBe(307);
  expect(inHeader.text + String(inHeader.headers["x-sent"])).not.toContain(real);
  const { target, signature } = presigned();
  const answer = await fetchInside(fixture, `https://${HOST}${target}`, { path: target });
  const other = /X-Amz-Signature=([0-9a-f]{64})/.exec(sent)?.[1] ?? "none";
  expect(other).not.toBe(signature);
  expect(answer.text + String(answer.headers.location)).not.toContain(other);
  // what it gets instead is its own, and worth nothing outside
  expect(answer.headers.location).toContain(signature);
  await waitFor(() => fixture.seen.findings.length === 2);
  expect(fixture.seen.findings[0]).toMatchObject({ finding: "secret_echoed" });
});

test("a key that signs is in no subprotocol of a WebSocket", async () => {
  const key = { ...secret("AWS_SECRET_ACCESS_KEY", "key", HOST), value: new Secret("realsecretkeythathasnocharacteroutside01") };
  await using upstream = await testUpstream((_request, response) => response.end());
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)], secrets: [key] });
  const headers = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-protocol": `openai-insecure-api-key.${FAKE.key}`,
  };
  expect((await fetchInside(fixture, `https://${HOST}/`, { headers })).status).toBe(403);
  expect(upstream.requests).toEqual([]);
});

test.each<[string, () => { readonly url?: string; readonly headers: Record<string, string> }, RegExp]>([
  [
    "a signature that the placeholder did not make",
    () => ({ headers: signed({}, "another-key") }),
    /was not made with the placeholder of AWS_SECRET_ACCESS_KEY/,
  ],
  ["a path that was not signed", () => ({ url: "/other", headers: signed() }), /was not made with the placeholder/],
  [
    "a body whose pieces are signed in a way of its own",
    () => ({
      headers: signed({
        payload: "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        extra: { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-EVENTS" },
      }),
    }),
    /not known here \(STREAMING-AWS4-HMAC-SHA256-EVENTS\)[\s\S]*payload_signing_enabled = false/,
  ],
  [
    "a body whose chunks should be signed, and are not there",
    () => ({
      headers: signed({
        payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        extra: { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" },
      }),
    }),
    /the body is not made of signed chunks to its end/,
  ],
  [
    "another algorithm",
    () => ({ headers: { authorization: signed()["authorization"]?.replace("HMAC", "ECDSA-P256") ?? "" } }),
    /stands in the header authorization/,
  ],
  ["the secret key itself in a header", () => ({ headers: { authorization: FAKE.key } }), /not in a signature of AWS/],
  [
    "the token for another header",
    () => ({ headers: { ...signed(), "x-other": FAKE.token } }),
    /AWS_SESSION_TOKEN stands in the header x-other/,
  ],
])("%s is refused, and nothing leaves", async (_name, make, message) => {
  await using at = await setting();
  const { url = "/", headers } = make();
  const answer = await fetchInside(at.fixture, `https://${HOST}${url}`, { headers });
  expect(answer.status).toBe(403);
  expect(answer.text).toMatch(message);
  expect(at.upstream.connections()).toBe(0);
  expect(at.fixture.seen.findings).toHaveLength(1);
});

test("a host that it is not bound to gets none", async () => {
  await using at = await setting();
  const answer = await fetchInside(at.fixture, "https://elsewhere.example.com/", {
    headers: { ...signed(), host: "elsewhere.example.com" },
  });
  expect(answer.status).toBe(403);
  expect(at.upstream.connections()).toBe(0);
});

describe("curl, which signs by itself", requires("curl"), () => {
  test("GET and POST arrive with the signature that the real key makes", async () => {
    await using at = await setting();
    await using dir = await tempDir();
    const ca = join(dir.path, "ca.pem");
    await writeFile(ca, at.fixture.gateway.authorityPem);
    const port = await at.fixture.reach(HOST, 443);
    const args = [
      "-s",
      "--cacert",
      ca,
      "--connect-to",
      `${HOST}:443:127.0.0.1:${port}`,
      "--aws-sigv4",
      "aws:amz:us-east-1:s3",
      "--user",
      `${FAKE.id}:${FAKE.key}`,
    ];
    await run("curl", [...args, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", `https://${HOST}/one/two`]);
    await run("curl", [...args, "-d", "hello=world", `https://${HOST}/x`]);
    expect(at.seen.map(({ good }) => good)).toEqual([true, true]);
  });
});
