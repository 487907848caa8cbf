import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { createBodyDecoder, decodeBody, TAP_LIMITS } from "./body-decoder.ts";
import { parseContentEncoding } from "./coding.ts";
import type { DecodeEnd, DecodeLimits } from "./decoder.ts";

const TEXT = Buffer.from('data: {"usage":{"é":1}}\n\n'.repeat(300));
/** a gzip member with every optional header field (RFC 1952 §2.3) */
const FULL_HEADER = ((): Buffer => {
  const plain = gzipSync(TEXT);
  const head = Buffer.from([0x1f, 0x8b, 8, 0b11110, 0, 0, 0, 0, 0, 3, 3, 0, 1, 2, 3, 0x6e, 0, 0x63, 0, 9, 9]);
  return Buffer.concat([head, plain.subarray(10)]);
})();

async function decode(
  bytes: Buffer,
  encoding: string,
  size = 1 << 20,
  limits: DecodeLimits = TAP_LIMITS,
): Promise<{ out: Buffer; end: DecodeEnd }> {
  const parts: Buffer[] = [];
  const decoder = createBodyDecoder(encoding, limits, (chunk) => parts.push(chunk));
  if (decoder === null) throw new Error(`${encoding} is not known`);
  for (let i = 0; i < bytes.length; i += size) decoder.write(bytes.subarray(i, i + size));
  const end = await decoder.end();
  return { out: Buffer.concat(parts), end };
}

const WHOLE: readonly (readonly [string, string, Buffer])[] = [
  ["gzip", "gzip", gzipSync(TEXT)],
  ["x-gzip, upper case", "X-GZIP", gzipSync(TEXT)],
  ["gzip with every header field", "gzip", FULL_HEADER],
  ["gzip, stored", "gzip", gzipSync(TEXT, { level: 0 })],
  ["deflate", "deflate", deflateSync(TEXT)],
  ["deflate without its wrapper", "deflate", deflateRawSync(TEXT)],
  ["br", "br", brotliCompressSync(TEXT)],
  ["zstd", "zstd", zstdCompressSync(TEXT)],
  ["gzip in br", "gzip, br", brotliCompressSync(gzipSync(TEXT))],
  ["zstd in gzip", "identity, zstd , gzip", gzipSync(zstdCompressSync(TEXT))],
  ["identity", "identity", TEXT],
];

describe("decoding", () => {
  it.each(WHOLE)("%s, in any chunking", async (_name, encoding, bytes) => {
    for (const size of [1, 2, 3, 11, 1 << 20]) {
      const { out, end } = await decode(bytes, encoding, size);
      expect(out.equals(TEXT), String(size)).toBe(true);
      expect(end).toBe("complete");
    }
  });

  it.each([
    ["gzip members", "gzip", Buffer.concat([gzipSync(TEXT), gzipSync(TEXT)])],
    ["zstd frames", "zstd", Buffer.concat([zstdCompressSync(TEXT), zstdCompressSync(TEXT)])],
  ])("several %s, in one chunk or many", async (_name, encoding, bytes) => {
    for (const size of [1, 7, 1 << 20]) {
      const { out, end } = await decode(bytes, encoding, size);
      expect(out.equals(Buffer.concat([TEXT, TEXT])), String(size)).toBe(true);
      expect(end).toBe("complete");
    }
  });

  it.each(WHOLE.filter(([name]) => name !== "identity"))(
    "%s, cut off: what decodes is there, and it is not called complete",
    async (_name, encoding, bytes) => {
      for (const keep of [1, Math.floor(bytes.length / 2), bytes.length - 1]) {
        const { out, end } = await decode(bytes.subarray(0, keep), encoding, 5);
        expect(TEXT.subarray(0, out.length).equals(out)).toBe(true);
        if (keep < bytes.length - 1 || encoding !== "deflate") expect(end, String(keep)).not.toBe("complete");
      }
    },
  );

  it.each([
    ["gzip", gzipSync(TEXT)],
    ["deflate", deflateSync(TEXT)],
    ["br", brotliCompressSync(TEXT)],
    ["zstd", zstdCompressSync(TEXT)],
  ])("%s followed by garbage keeps what was decoded", async (encoding, bytes) => {
    for (const size of [1, 1 << 20]) {
      const { out, end } = await decode(Buffer.concat([bytes, Buffer.from("garbage")]), encoding, size);
      expect(out.equals(TEXT), String(size)).toBe(true);
      expect(end).toBe("truncated");
    }
  });

  it("reads a body that is not coded as its label says", async () => {
    for (const encoding of ["gzip", "zstd"]) expect((await decode(TEXT, encoding, 3)).out.equals(TEXT)).toBe(true);
    expect(await decodeBody(TEXT, "gzip", 1 << 20)).toBeNull();
  });

  it("gives up on broken data without a throw", async () => {
    for (const encoding of ["gzip", "deflate", "br", "zstd"]) {
      const bytes =
        { gzip: gzipSync(TEXT), deflate: deflateSync(TEXT), br: brotliCompressSync(TEXT), zstd: zstdCompressSync(TEXT) }[encoding] ?? TEXT;
      const broken = Buffer.from(bytes);
      for (let i = 12; i < Math.min(40, broken.length); i += 1) broken[i] = (broken[i] ?? 0) ^ 0xff;
      expect(["broken", "truncated"]).toContain((await decode(broken, encoding, 4)).end);
    }
  });

  it("stops a bomb by ratio and by size", async () => {
    const zeros = Buffer.alloc(64 * 1024 * 1024);
    for (const [encoding, bytes] of [
      ["br", brotliCompressSync(zeros)],
      ["zstd", zstdCompressSync(zeros)],
      ["br, gzip", gzipSync(brotliCompressSync(zeros))],
    ] as const) {
      const { out, end } = await decode(bytes, encoding);
      expect(end, encoding).toBe("too_large");
      expect(out.length).toBeLessThan(4 * 1024 * 1024);
    }
    expect((await decode(gzipSync(zeros), "gzip", 1 << 20, { ...TAP_LIMITS, ratio: 2000, outputBytes: 1_000_000 })).end).toBe("too_large");
    expect(await decodeBody(gzipSync(zeros), "gzip", 1_000_000)).toBeNull();
  });

  it("drops what is more than its queue holds", async () => {
    expect((await decode(gzipSync(TEXT), "gzip", 1 << 20, { ...TAP_LIMITS, queueBytes: 10 })).end).toBe("queue_full");
  });

  it("refuses a zstd window that HTTP does not allow", async () => {
    // magic, frame header descriptor without single segment, window descriptor for 128 MiB, empty last block
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00]);
    expect((await decode(frame, "zstd")).end).not.toBe("complete");
  });

  it("knows the codings and their limit", () => {
    expect(parseContentEncoding(undefined)).toEqual([]);
    expect(parseContentEncoding(" gzip ,, identity, BR")).toEqual(["gzip", "br"]);
    expect(parseContentEncoding("gzip, gzip, gzip")).toBeNull();
    expect(parseContentEncoding("compress")).toBeNull();
  });

  it("decodes whole bodies exactly or not at all", async () => {
    expect((await decodeBody(gzipSync(TEXT), "gzip", 1 << 20))?.equals(TEXT)).toBe(true);
    expect((await decodeBody(Buffer.concat([zstdCompressSync(TEXT), zstdCompressSync(TEXT)]), "zstd", 1 << 20))?.length).toBe(
      2 * TEXT.length,
    );
    expect(await decodeBody(gzipSync(TEXT).subarray(0, -1), "gzip", 1 << 20)).toBeNull();
    expect(await decodeBody(TEXT, "compress", 1 << 20)).toBeNull();
    expect(await decodeBody(TEXT, undefined, 10)).toBeNull();
  });
});
