import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { planUsageInjection } from "../../src/providers/inject.ts";
import { createRequestReader } from "../../src/providers/request-reader.ts";
import type { Recognition, RequestFacts } from "../../src/providers/types.ts";
import { fuzz } from "../support/fuzz.ts";

const chat: Recognition = { provider: "openai", shape: "openai-chat", operation: "chat", billable: true, injectUsage: true };

const fragment = fc.oneof(
  fc.constantFrom(
    '"model"',
    '"mod\\u0065l"',
    '"Model"',
    '"stream"',
    '"stream_options"',
    '"include_usage"',
    '"x"',
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    "true",
    "false",
    "null",
    "1e5",
    "-",
    "\\",
    '"',
    " ",
    "\n",
    "\ufeff",
  ),
  fc.string({ unit: "binary", maxLength: 8 }),
);
const soup = fc.array(fragment, { maxLength: 25 }).map((parts) => Buffer.from(`{${parts.join("")}}`));
const valid = fc
  .record(
    {
      messages: fc.json({ maxDepth: 4 }).map((text) => JSON.parse(text) as unknown),
      model: fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.integer(), fc.constant(null)),
      stream: fc.oneof(fc.boolean(), fc.constant("true")),
      nested: fc.constant({ model: "evil", stream: true }),
      n: fc.oneof(fc.nat(), fc.double()),
    },
    { requiredKeys: [] },
  )
  .chain((value) => fc.shuffledSubarray(Object.keys(value), { minLength: Object.keys(value).length }).map((keys) => ({ value, keys })))
  .map(({ value, keys }) => Buffer.from(JSON.stringify(Object.fromEntries(keys.map((key) => [key, value[key as keyof typeof value]])))));
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

async function read(bytes: Buffer, at: readonly number[], contentEncoding?: string): Promise<RequestFacts> {
  const reader = createRequestReader(chat, { contentType: "application/json", contentEncoding });
  for (let i = 0, from = 0; from < bytes.length; i += 1) {
    const size = at[i % at.length] ?? 1;
    reader.write(bytes.subarray(from, from + size));
    from += size;
  }
  return reader.end();
}

function nameOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" && value.length <= 256 ? value : null;
}

it("agrees with JSON.parse on every body that JSON.parse takes, in any chunking", async () => {
  await fuzz(
    fc.asyncProperty(fc.oneof(valid, soup), sizes, async (bytes, at) => {
      const facts = await read(bytes, at);
      expect(await read(bytes, [1 << 20])).toEqual(facts);
      let parsed: Record<string, unknown>;
      try {
        parsed = JSON.parse(bytes.toString().replace(/^\ufeff/, "")) as Record<string, unknown>;
      } catch {
        return;
      }
      expect(facts.unparsable).toBe(false);
      expect(facts.model).toBe(nameOf(parsed["model"]));
      expect(facts.streaming).toBe(parsed["stream"] === true);
    }),
    { runs: 2000 },
  );
});

/** Each coding as its fastest level writes it and as a slow one does: a million of brotli's best would take an hour. */
const CODERS: readonly (readonly [coding: string, code: (bytes: Buffer) => Buffer])[] = [
  ["gzip", (bytes) => gzipSync(bytes, { level: 1 })],
  ["gzip", (bytes) => gzipSync(bytes, { level: 9 })],
  ["deflate", (bytes) => deflateSync(bytes, { level: 6 })],
  ["br", (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_LGWIN]: 12 } })],
  ["br", (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: 16 } })],
  ["zstd", (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })],
  ["zstd", (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 9, [constants.ZSTD_c_checksumFlag]: 1 } })],
];

it("reads compressed bodies as their plain ones", async () => {
  await fuzz(
    fc.asyncProperty(valid, sizes, fc.constantFrom(...CODERS), async (bytes, at, [coding, code]) => {
      expect(await read(code(bytes), at, coding)).toEqual(await read(bytes, at));
    }),
    { runs: 150 },
  );
});

it("survives compressed garbage", async () => {
  const coding = fc.constantFrom("gzip", "br", "zstd", "deflate", "gzip, zstd");
  const garbage = fc
    .tuple(fc.uint8Array({ maxLength: 60 }), fc.constantFrom([], [0x1f, 0x8b, 8], [0x28, 0xb5, 0x2f, 0xfd], [0x78, 0x9c]))
    .map(([tail, head]) => Buffer.from([...head, ...tail]));
  await fuzz(
    fc.asyncProperty(garbage, sizes, coding, async (bytes, at, encoding) => {
      const facts = await read(bytes, at, encoding);
      expect(facts.model).toBeNull();
    }),
    { runs: 250 },
  );
});

it("injects only into what stays valid and equal but for the option", async () => {
  await fuzz(
    fc.asyncProperty(fc.oneof(valid, soup), async (bytes) => {
      const plan = planUsageInjection(chat, await read(bytes, [1 << 20]), bytes);
      if (plan === null) return;
      let before: Record<string, unknown>;
      try {
        before = JSON.parse(bytes.toString().replace(/^\ufeff/, "")) as Record<string, unknown>;
      } catch {
        return;
      }
      const after = JSON.parse(plan.body.toString().replace(/^\ufeff/, "")) as Record<string, unknown>;
      const options = (before["stream_options"] ?? {}) as Record<string, unknown>;
      expect(after).toEqual({ ...before, stream_options: { ...options, include_usage: true } });
    }),
    { runs: 1000 },
  );
});
