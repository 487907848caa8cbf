import { describe, expect, it } from "vitest";
import { ChunkedBody, MAX_CHUNK } from "./sigv4-chunks.ts";

/** The key and the signatures of the examples that AWS published, with and without trailing headers: 65 KiB of `a` in two chunks. */
const KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TIME = "20130524T000000Z";
const SCOPE = { date: "20130524", region: "us-east-1", service: "s3" };
const LONG = "a".repeat(65_536);
const SHORT = "a".repeat(1024);
const PLAIN = {
  seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
  chunks: [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
  ],
};
const TRAILED = {
  seed: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
  chunks: [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
  ],
  trailer: "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
};

const chunksOf = ([one, two, last]: readonly string[]): string =>
  `10000;chunk-signature=${one}\r\n${LONG}\r\n400;chunk-signature=${two}\r\n${SHORT}\r\n0;chunk-signature=${last}\r\n`;
const plain = (chunks = PLAIN.chunks): string => `${chunksOf(chunks)}\r\n`;
/** Lines as the reference writes them, as minio-go does, and as AWS' SDK for Java does. */
const LINE_ENDS = ["\n", "\n\r\n", "\r\n"];
const trailed = (end: string, signature = TRAILED.trailer): string =>
  `${chunksOf(TRAILED.chunks)}x-amz-checksum-crc32c:sOO8/Q==${end}x-amz-trailer-signature:${signature}\r\n\r\n`;

const body = (seed: string, hasTrailer: boolean, to = { key: KEY, seed }): ChunkedBody =>
  new ChunkedBody({ from: { key: KEY, seed }, to, time: TIME, scope: SCOPE, hasTrailer });

/** What comes out, and what was wrong. */
function through(chunked: ChunkedBody, text: string, size = 1000): { readonly out: string; readonly fault: string | undefined } {
  const bytes = Buffer.from(text, "latin1");
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(...(chunked.write(bytes.subarray(at, at + size)) ?? []));
  chunked.end();
  return { out: Buffer.concat(out).toString("latin1"), fault: chunked.fault };
}

describe("bodies whose chunks are signed", () => {
  it("have the signatures that AWS published", () => {
    expect(through(body(PLAIN.seed, false), plain())).toEqual({ out: plain(), fault: undefined });
    for (const end of LINE_ENDS) expect(through(body(TRAILED.seed, true), trailed(end))).toEqual({ out: trailed(end), fault: undefined });
  });

  it.each([1, 2, 7, 64, 65_000, 1_000_000])("are signed by another, as long as before, in pieces of %i bytes", (size) => {
    const other = { key: "another+secret/key", seed: "0".repeat(64) };
    for (const [seed, text, hasTrailer] of [
      [PLAIN.seed, plain(), false],
      [TRAILED.seed, trailed("\r\n"), true],
    ] as const) {
      const { out, fault } = through(body(seed, hasTrailer, other), text, size);
      expect([fault, out.length]).toEqual([undefined, text.length]);
      for (const signature of [...PLAIN.chunks, ...TRAILED.chunks, TRAILED.trailer]) expect(out).not.toContain(signature);
      // the other one's own reader agrees, and makes the first's of it again
      const back = new ChunkedBody({ from: other, to: { key: KEY, seed }, time: TIME, scope: SCOPE, hasTrailer });
      expect(through(back, out)).toEqual({ out: text, fault: undefined });
    }
  });

  it.each<[string, string, boolean, string]>([
    ["a byte that was changed", plain().replace("aaa\r\n400", "aab\r\n400"), false, "signature"],
    ["a size that was changed", plain().replace("\r\n400;", "\r\n3ff;"), false, "form"],
    ["another signature", plain().replace(PLAIN.chunks[1] ?? "", "0".repeat(64)), false, "signature"],
    ["chunks in another order", plain([PLAIN.chunks[1], PLAIN.chunks[0], PLAIN.chunks[2]] as string[]), false, "signature"],
    ["a last chunk that is not signed", plain().replace(PLAIN.chunks[2] ?? "", "f".repeat(64)), false, "signature"],
    ["no last chunk", plain().slice(0, plain().indexOf("0;chunk-signature=b6")), false, "form"],
    ["an end in the middle of a chunk", plain().slice(0, 5000), false, "form"],
    ["something behind the end", `${plain()}x`, false, "form"],
    ["no signature", plain().replace(/;chunk-signature=[0-9a-f]{64}/, ""), false, "form"],
    ["a second extension", plain().replace(/^10000;/, "10000;x=y;"), false, "form"],
    ["a line without end", "1".repeat(1000), false, "form"],
    ["no line end behind the data", plain().replace("a\r\n400", "axx400"), false, "form"],
    ["a trailer where none is signed", trailed("\n"), false, "signature"],
    ["no trailer where one is signed", chunksOf(TRAILED.chunks), true, "form"],
    ["a trailer that was changed", trailed("\n").replace("sOO8/Q==", "sOO8/R=="), true, "signature"],
    ["a trailer's other signature", trailed("\n", "0".repeat(64)), true, "signature"],
    ["a trailer with two signatures", trailed(`\nx-amz-trailer-signature:${"0".repeat(64)}\n`), true, "form"],
    ["a trailer's signature that is no hex", trailed("\n", "\u00ff".repeat(64)), true, "form"],
    ["a trailer without a signature", `${chunksOf(TRAILED.chunks)}x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n`, true, "form"],
    ["a trailer with a line that is no header", trailed("\nx y\n"), true, "form"],
    ["a trailer without end", `${chunksOf(TRAILED.chunks)}${"x".repeat(10_000)}`, true, "form"],
    ["a chunk that is too large", `${(MAX_CHUNK + 1).toString(16)};chunk-signature=${"0".repeat(64)}\r\n`, false, "size"],
  ])("end at %s", (_name, text, hasTrailer, fault) => {
    const whole = hasTrailer ? trailed("\n") : plain();
    const seed = hasTrailer ? TRAILED.seed : PLAIN.seed;
    for (const size of [1, 1000, 100_000]) {
      const got = through(body(seed, hasTrailer), text, size);
      expect(got.fault).toBe(fault);
      // nothing that was not found right goes on
      expect(whole.startsWith(got.out) && got.out.length < whole.length + 1).toBe(true);
    }
  });

  it("hold one chunk at most, whatever is sent", () => {
    const chunked = body(PLAIN.seed, false);
    expect(chunked.write(Buffer.from(`${MAX_CHUNK.toString(16)};chunk-signature=${"0".repeat(64)}\r\n`))).toEqual([]);
    const piece = Buffer.alloc(64 * 1024);
    for (let sent = 0; sent < MAX_CHUNK; sent += piece.length) expect(chunked.write(piece)).toEqual([]);
    expect(chunked.write(Buffer.from("\r\n"))).toBeUndefined();
    expect([chunked.fault, chunked.write(piece)]).toEqual(["signature", undefined]);
  });
});
