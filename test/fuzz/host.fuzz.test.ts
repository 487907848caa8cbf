import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classifyAddress } from "../../src/policy/address.ts";
import { parseAuthority, parseHost } from "../../src/policy/host.ts";
import { fuzz } from "../support/fuzz.ts";

/**
 * The host canonicaliser against WHATWG URL, the parser most clients use: what we accept, it must read as the same host, so that no
 * name is judged as one and dialled as another. We may refuse more than it does.
 */

const piece = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      "a",
      "Z",
      "0",
      "9",
      "1",
      "255",
      "256",
      "127",
      "0x7f",
      "017",
      "xn--",
      "xn--mnchen-3ya",
      "com",
      "example",
      "localhost",
      "-",
      "_",
      "ff",
      "::",
      ":",
      "[",
      "]",
    ),
  },
  { weight: 4, arbitrary: fc.constantFrom(".", ".", ".", "。", "．") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "ü",
      "ß",
      "İ",
      "①",
      "٤",
      "\u00ad",
      "\u200d",
      "а",
      "ｅ",
      "\0",
      "%",
      "%2e",
      "%00",
      "@",
      "/",
      "\\",
      "#",
      "?",
      " ",
      "\n",
      "\t",
      "\u00a0",
      "\ud800",
    ),
  },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 4, unit: "binary" }) },
);
const hostLike = fc.oneof(
  fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join("")),
  fc.domain(),
  fc.ipV4(),
  fc.ipV4Extended(),
  fc.ipV6(),
  fc.ipV6().map((text) => `[${text}]`),
);

function whatwgHost(authority: string): string | undefined {
  const url = URL.parse(`https://${authority}/`);
  return url?.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

describe("host canonicaliser", () => {
  it("reads what it accepts as WHATWG URL does, and its own answer the same", async () => {
    const seen = { name: 0, ipv4: 0, ipv6: 0, invalid: 0 };
    const numRuns = await fuzz(
      fc.property(hostLike, (text) => {
        const host = parseHost(text);
        seen[host.kind] += 1;
        if (host.kind === "invalid") return;
        expect(host.text).toMatch(/^[a-z0-9._:-]{1,253}$/);
        expect(whatwgHost(host.kind === "ipv6" ? `[${host.text}]` : host.text)).toBe(host.text);
        const asGiven = text.includes(":") && !text.startsWith("[") ? `[${text}]` : text;
        expect(whatwgHost(asGiven)).toBe(host.text);
        expect(parseHost(host.text)).toEqual(host);
        if (host.kind !== "name") expect(classifyAddress(host.text)).toBeTypeOf("string");
      }),
      { runs: 20_000 },
    );
    for (const kind of ["name", "ipv4", "ipv6", "invalid"] as const) expect(seen[kind], kind).toBeGreaterThan(numRuns / 100);
  });

  it("reads an authority as WHATWG URL does", async () => {
    let accepted = 0;
    const port = fc.oneof(
      fc.constantFrom("", ":", ":0", ":080", ":80", ":443", ":65535", ":65536", ":1e3", ":+1", ":8 0"),
      fc.nat({ max: 70_000 }).map((n) => `:${n}`),
    );
    const numRuns = await fuzz(
      fc.property(hostLike, port, (text, suffix) => {
        const read = parseAuthority(text + suffix, 443);
        if (read.kind === "invalid") return;
        accepted += 1;
        const url = new URL(`https://${text}${suffix}/`);
        expect(url.username + url.password + url.search + url.hash).toBe("");
        expect(url.pathname).toBe("/");
        expect(Number(url.port === "" ? 443 : url.port)).toBe(read.port);
        expect(url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "")).toBe(read.host.text);
      }),
      { runs: 20_000 },
    );
    expect(accepted).toBeGreaterThan(numRuns / 20);
  });
});
