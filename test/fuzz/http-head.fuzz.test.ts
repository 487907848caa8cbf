import fc from "fast-check";
import { expect, test } from "vitest";
import { readRequestHead, readResponseHead } from "../../src/egress/exchange/headers.ts";
import { redactUrl } from "../../src/egress/exchange/redact.ts";
import { parseTarget } from "../../src/egress/exchange/target.ts";
import { identify } from "../../src/egress/interceptors/identity.ts";
import { sniff } from "../../src/egress/accept/sniff.ts";
import { parseHost } from "../../src/policy/host.ts";
import { normalisePath } from "../../src/policy/path.ts";
import { fuzz } from "../support/fuzz.ts";

/** What the gateway decides by once a head was read: framing, hop-by-hop headers, names and paths. */

const name = fc.constantFrom(
  ...[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-authorization",
  ],
  ...["proxy-connection", "authorization", "x-a", "x-b", "content-type", "content-encoding", "http2-settings", "cookie"],
);
const spelled = fc.tuple(name, fc.boolean()).map(([text, upper]) => (upper ? text.toUpperCase() : text));
const value = fc.oneof(
  fc.constantFrom("chunked", "Chunked", "identity", "5", "0", "+5", "5, 5", "0x5", "", "close", "keep-alive", "upgrade", "x-a", "x-a, x-b"),
  fc.constantFrom("authorization, X-B", "host", "transfer-encoding", "content-length,", "a b", "trailers", "websocket", "100-continue"),
  fc.string({ maxLength: 12 }),
);
const headers = fc.array(fc.tuple(spelled, value), { maxLength: 8 }).map((pairs) => pairs.flat());
const HOP = new Set(
  ["connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "expect", "trailer", "http2-settings"].concat([
    "proxy-authorization",
    "proxy-connection",
  ]),
);

const names = (list: readonly string[]): readonly string[] => list.filter((_, i) => i % 2 === 0).map((one) => one.toLowerCase());

test("a head that passes has one framing and one host, and nothing hop-by-hop travels on", async () => {
  let passed = 0;
  const total = await fuzz(
    fc.property(headers, fc.constantFrom("1.0" as const, "1.1" as const, "2" as const), (raw, version) => {
      const head = readRequestHead(raw, version);
      if ("reason" in head) return;
      passed += 1;
      const given = names(raw);
      for (const single of ["host", "content-length", "transfer-encoding"])
        expect(given.filter((one) => one === single).length).toBeLessThanOrEqual(1);
      expect(head.chunked && head.contentLength !== null).toBe(false);
      expect(head.chunked).toBe(given.includes("transfer-encoding"));
      if (head.contentLength !== null) expect(Number.isSafeInteger(head.contentLength)).toBe(true);
      const named = new Set(
        raw.flatMap((text, i) =>
          i % 2 === 1 && raw[i - 1]?.toLowerCase() === "connection" ? text.split(",").map((one) => one.trim().toLowerCase()) : [],
        ),
      );
      for (const one of names(head.headers)) {
        expect(HOP.has(one) || named.has(one) || one.startsWith("proxy-"), one).toBe(false);
      }
      // in their order, nothing added
      const kept = head.headers.join("\0");
      const rest = raw
        .flatMap((text, i) => (i % 2 === 0 ? [[text, raw[i + 1] ?? ""]] : []))
        .filter(([key = ""]) => head.headers.includes(key) && !HOP.has(key.toLowerCase()) && !named.has(key.toLowerCase()))
        .filter(([key = "", text = ""]) => key.toLowerCase() !== "te" || text.toLowerCase() === "trailers");
      expect(rest.flat().join("\0")).toBe(kept);
      expect(names(readResponseHead(raw).headers).some((one) => ["connection", "transfer-encoding", "upgrade"].includes(one))).toBe(false);
    }),
    { runs: 20_000 },
  );
  expect(passed).toBeGreaterThan(total / 20);
});

const host = fc.oneof(
  fc.constant("a.com"),
  fc.constantFrom("a.com", "b.com", "A.com", "a.com.", "a.com:443", "a.com:8443", "a.com@b.com", "[::1]", "1.2.3.4", "", "b.com:443"),
);
const target = fc.oneof(
  fc.constantFrom("/", "/x", "https://a.com/x"),
  fc.constantFrom("/", "/x?y", "http://a.com/", "https://a.com/x", "https://b.com/", "https://a.com@b.com/", "//b.com/", "*", "https:///x"),
  fc.constantFrom("https://a.com:443/", "https://a.com\\@b.com/", "https://a.com#@b.com/", "/a#b", "https://b.com?a.com/", "a.com:443", ""),
  fc.string({ maxLength: 12 }),
);

test("a request goes to the one name that everything in it says, or nowhere", async () => {
  let passed = 0;
  const total = await fuzz(
    fc.property(
      ...([host, host, fc.option(host), target] as const),
      fc.constantFrom(443, 8443),
      fc.constantFrom("GET", "CONNECT", "TRACE", "TRACK", "POST"),
      (via, header, sni, wanted, port, method) => {
        const [expected, serverName] = [parseHost(via), sni === null ? null : parseHost(sni)];
        if (expected.kind === "invalid" || serverName?.kind === "invalid") return;
        const found = identify({ scheme: "https", expected, serverName, port, method, target: wanted, hostHeader: header });
        if ("reason" in found) return;
        passed += 1;
        expect(["GET", "POST"]).toContain(method);
        expect(found.host.text).toBe(expected.text);
        if (serverName !== null) expect(serverName.text).toBe(expected.text);
        // WHATWG URL, which most servers' own parsers follow, has to read the same host from what goes on
        expect(new URL(`https://${header}/`).hostname.replace(/\.$/, "").replace(/^\[|\]$/g, "")).toBe(expected.text);
        if (!wanted.startsWith("/")) expect(new URL(wanted).hostname.replace(/\.$/, "")).toBe(expected.text);
        expect(found.path.startsWith("/")).toBe(true);
      },
    ),
    { runs: 20_000 },
  );
  expect(passed).toBeGreaterThan(total / 200);
});

const piece = fc.constantFrom(
  "/",
  "a",
  "v1",
  ".",
  "..",
  "%2e",
  "%2E",
  "%2f",
  "%5c",
  "\\",
  "//",
  ";x",
  "%",
  "%25",
  "%zz",
  "é",
  "%c3%a9",
  "%00",
  "?",
  "#",
  "*",
);

test("a path that passes is the one that WHATWG URL reads, and no segment of it leads upwards", async () => {
  let passed = 0;
  const total = await fuzz(
    fc.property(
      fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 8 }).map((parts) => `/${parts.join("")}`),
      (raw) => {
        const read = normalisePath(raw);
        if (read.kind !== "path") return;
        passed += 1;
        const url = new URL(`https://a.com${raw}`);
        expect(url.hostname).toBe("a.com");
        expect(decodeURIComponent(url.pathname)).toBe(read.path);
        expect(read.path.split("/").some((segment) => segment === "." || segment === "..")).toBe(false);
      },
    ),
    { runs: 20_000 },
  );
  expect(passed).toBeGreaterThan(total / 50);
});

test("no first bytes and no target make a reader throw, and no credential in a query is kept", async () => {
  const parameter = fc.constantFrom("key", "api_key", "access%5Ftoken", "X-Amz-Signature", "sig", "code", "to%6ben", "client+secret");
  await fuzz(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.string({ maxLength: 40, unit: "binary" }),
      parameter,
      fc.nat(40),
      (bytes, text, key, at) => {
        expect(["tls", "http1", "h2", "garbage", "more"]).toContain(sniff(bytes));
        const parsed = parseTarget(text);
        if (!("reason" in parsed)) expect(parsed.path.startsWith("/")).toBe(true);
        const url = `https://a.com/${encodeURIComponent(text.slice(0, at).replace(/[\ud800-\udfff]/g, ""))}?q=1&${key}=hunter2hunter2&z`;
        expect(redactUrl(url)).not.toContain("hunter2");
      },
    ),
    { runs: 20_000 },
  );
});
