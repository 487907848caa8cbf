import { describe, expect, it } from "vitest";
import { formatAuthority, parseAuthority, parseHost } from "./host.ts";

const canonical: readonly (readonly [string, "name" | "ipv4" | "ipv6", string])[] = [
  ["api.openai.com", "name", "api.openai.com"],
  ["API.OpenAI.COM", "name", "api.openai.com"],
  ["example.com.", "name", "example.com"],
  ["localhost", "name", "localhost"],
  ["münchen.de", "name", "xn--mnchen-3ya.de"],
  ["MÜNCHEN.de", "name", "xn--mnchen-3ya.de"],
  ["xn--mnchen-3ya.de", "name", "xn--mnchen-3ya.de"],
  ["faß.de", "name", "xn--fa-hia.de"],
  ["例え。jp", "name", "xn--r8jz45g.jp"],
  // a homograph stays what it is: another name
  ["аpple.com", "name", "xn--pple-43d.com"],
  ["ｅxample.com", "name", "example.com"],
  ["r3---sn-abc.googlevideo.com", "name", "r3---sn-abc.googlevideo.com"],
  ["_dmarc.mail.example.com", "name", "_dmarc.mail.example.com"],
  ["127.0.0.1.nip.io", "name", "127.0.0.1.nip.io"],
  [`${"a".repeat(63)}.com`, "name", `${"a".repeat(63)}.com`],
  ["1.2.3.4", "ipv4", "1.2.3.4"],
  ["0.0.0.0", "ipv4", "0.0.0.0"],
  ["255.255.255.255", "ipv4", "255.255.255.255"],
  ["[::1]", "ipv6", "::1"],
  ["::", "ipv6", "::"],
  ["2001:DB8:0:0:1:0:0:1", "ipv6", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "ipv6", "2001:db8:0:1:1:1:1:1"],
  ["::ffff:127.0.0.1", "ipv6", "::ffff:7f00:1"],
  ["0:0:0:0:0:0:0:1", "ipv6", "::1"],
  ["1::", "ipv6", "1::"],
];

const refused: readonly string[] = [
  "",
  ".",
  "..",
  "a..com",
  ".a.com",
  "a.com..",
  "a.com\0.allowed.com",
  "a.com\n",
  "a\tb.com",
  " a.com",
  "a b.com",
  "a\u00a0b.com",
  "a\u2028b.com",
  "a%2ecom",
  "%61.com",
  "user@a.com",
  "a.com#b",
  "a.com/b",
  "a.com?x",
  "a\\b.com",
  "a,b.com",
  "a;b.com",
  "*.a.com",
  "a.com:80",
  "http://a.com",
  "-a.com",
  "a-.com",
  "a_b.com",
  "a.b_c",
  "under_score",
  "xn--a.com",
  "xn--.com",
  "xn--0.pt",
  "a\ud800.com",
  "a\u007f.com",
  "a\u0085.com",
  "a\u200d.com",
  `${"a".repeat(64)}.com`,
  `${"a.".repeat(127)}com`,
  "a".repeat(5000),
  // RFC 6943 §3.1.1: loose IPv4 spellings
  "127.1",
  "127.0.1",
  "2130706433",
  "0x7f000001",
  "0x7f.0.0.1",
  "0x7f.1",
  "0177.0.0.1",
  "127.0.0.01",
  "00.0.0.0",
  "1.2.3",
  "1.2.3.4.5",
  "256.0.0.1",
  "1.2.3.4.",
  "1.2.3.-4",
  "1.2.3.0x4",
  "a.1",
  "a.0x",
  "a.0xff",
  "①②⑦.0.0.1",
  "１２７.0.0.1",
  "127。0。0。1",
  "1.2.3.٤",
  "[",
  "]",
  "[]",
  "[::1",
  "::1]",
  "[1.2.3.4]",
  "[a.com]",
  "[::1]]",
  ":::",
  "::1::",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7::8:9",
  "::12345",
  "::g",
  "::1.2.3",
  "::1.2.3.4:5",
  "1.2.3.4::",
  "fe80::1%eth0",
  "[fe80::1%25eth0]",
  "::01.2.3.4",
  "1:2:3:4:5:6:7:1.2.3.4",
  ":1",
  "1:",
];

describe("parseHost", () => {
  it.each(canonical)("reads %j as %s %j", (text, kind, expected) => {
    expect(parseHost(text)).toEqual({ kind, text: expected });
  });

  it.each(canonical)("reads its own answer for %j the same", (text) => {
    const once = parseHost(text);
    if (once.kind === "invalid") throw new Error(once.reason);
    expect(parseHost(once.text)).toEqual(once);
  });

  it.each(refused.map((text) => [text]))("refuses %j and says why without repeating it", (text) => {
    const result = parseHost(text);
    if (result.kind !== "invalid") throw new Error(`accepted as ${result.text}`);
    expect(result.reason).toMatch(/^(?:is|has|contains) [a-zA-Z0-9 ,]+$/);
  });

  it("gives a value that nobody can change", () => {
    const host = parseHost("a.com");
    expect(() => Object.assign(host, { text: "b.com" })).toThrow(TypeError);
  });
});

describe("parseAuthority", () => {
  it.each([
    ["a.com", "a.com", 443],
    ["a.com:8443", "a.com", 8443],
    ["A.com.:80", "a.com", 80],
    ["1.2.3.4:1", "1.2.3.4", 1],
    ["[::1]", "::1", 443],
    ["[::1]:65535", "::1", 65_535],
  ])("reads %j", (text, host, port) => {
    const result = parseAuthority(text, 443);
    expect(result).toMatchObject({ kind: "authority", host: { text: host }, port });
  });

  it.each([
    [""],
    [":80"],
    ["a.com:"],
    ["a.com:0"],
    ["a.com:080"],
    ["a.com:65536"],
    ["a.com:+80"],
    ["a.com:8 0"],
    ["a.com:80:80"],
    ["a.com:80@b.com"],
    ["a.com@b.com:80"],
    ["::1"],
    ["::1:80"],
    ["[::1]80"],
    ["[::1]:"],
    ["[::1]x:80"],
    ["[::1"],
    ["a.com:80/"],
    ["a.com:٨٠"],
  ])("refuses %j", (text) => {
    expect(parseAuthority(text, 443)).toMatchObject({ kind: "invalid" });
  });

  it("writes an authority that it reads the same", () => {
    for (const text of ["a.com", "1.2.3.4:81", "[::1]:81", "[2001:db8::1]"]) {
      const read = parseAuthority(text, 443);
      if (read.kind === "invalid") throw new Error(read.reason);
      expect(formatAuthority(read.host, read.port, 443)).toBe(text);
    }
  });
});
