import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ChunkedBody } from "../../src/secrets/sigv4-chunks.ts";
import { cut, fuzz } from "../support/fuzz.ts";

const TIME = "20261121T150000Z";
const SCOPE = { date: "20261121", region: "us-east-1", service: "s3" };
const ABOUT = `${TIME}\n20261121/us-east-1/s3/aws4_request`;
const FROM = { key: "placeholder", seed: "1".repeat(64) };
const TO = { key: "real", seed: "2".repeat(64) };

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const sha = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");

type Sent = { readonly chunks: readonly Buffer[]; readonly trailer: readonly string[] | undefined; readonly end: string };

/** The body as its reference describes it, written as a whole. */
function bodyBy({ key, seed }: typeof FROM, { chunks, trailer, end }: Sent): Buffer {
  const signing = ["20261121", "us-east-1", "s3", "aws4_request"].reduce<Buffer>(hmac, Buffer.from(`AWS4${key}`));
  let previous = seed;
  const next = (kind: string, rest: string): string =>
    (previous = hmac(signing, `AWS4-HMAC-SHA256-${kind}\n${ABOUT}\n${previous}\n${rest}`).toString("hex"));
  const parts = [...chunks, Buffer.alloc(0)].map((chunk) => {
    const line = `${chunk.length.toString(16)};chunk-signature=${next("PAYLOAD", `${sha("")}\n${sha(chunk)}`)}\r\n`;
    return Buffer.concat([Buffer.from(line), chunk, Buffer.from(chunk.length === 0 ? "" : "\r\n")]);
  });
  if (trailer === undefined) return Buffer.concat([...parts, Buffer.from("\r\n")]);
  const signature = next(
    "TRAILER",
    sha(
      trailer
        .toSorted()
        .map((line) => `${line}\n`)
        .join(""),
    ),
  );
  return Buffer.concat([
    ...parts,
    Buffer.from(`${trailer.map((line) => line + end).join("")}x-amz-trailer-signature:${signature}\r\n\r\n`),
  ]);
}

const sent: fc.Arbitrary<Sent> = fc.record({
  chunks: fc.array(
    fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 4 },
  ),
  trailer: fc.option(fc.uniqueArray(fc.constantFrom("x-amz-checksum-crc32:AAAA", "x-a:1", "x-b:two"), { maxLength: 3 }), {
    nil: undefined,
  }),
  end: fc.constantFrom("\r\n", "\n", "\n\r\n"),
});
const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 });

function through(
  bytes: Buffer,
  steps: readonly number[],
  hasTrailer: boolean,
): { readonly out: Buffer; readonly fault: string | undefined } {
  const body = new ChunkedBody({ from: FROM, to: TO, time: TIME, scope: SCOPE, hasTrailer });
  const out = cut(bytes, steps).flatMap((piece) => body.write(piece) ?? []);
  body.end();
  return { out: Buffer.concat(out), fault: body.fault };
}

it("a body that one signed comes out as the other would have signed it", async () => {
  await fuzz(
    fc.property(sent, sizes, (one, steps) => {
      const { out, fault } = through(bodyBy(FROM, one), steps, one.trailer !== undefined);
      expect(fault).toBeUndefined();
      expect(out.equals(bodyBy(TO, one))).toBe(true);
    }),
    { runs: 1_500 },
  );
});

/** The size of a chunk may be written otherwise. */
const spelled = (bytes: Buffer): string =>
  bytes
    .toString("latin1")
    .replace(/(^|\r\n)0*([0-9a-fA-F]{1,8});chunk/g, (_, before: string, size: string) => `${before}${size.toLowerCase()};chunk`);
/** So may the lines of a trailer, whose order and ends say nothing. */
const upToTrailer = (text: string): string => text.replace(/(\r\n|^)0;chunk-signature=([0-9a-f]{64})\r\n[^]*/, "$10;$2");

it("of a body that was changed nothing comes out but what was signed, and it never ends well", async () => {
  const change = fc.record({ at: fc.nat(), bytes: fc.uint8Array({ maxLength: 4 }), removed: fc.nat(4) });
  let changed = 0;
  await fuzz(
    fc.property(sent, sizes, fc.array(change, { minLength: 1, maxLength: 3 }), (one, steps, changes) => {
      const whole = bodyBy(FROM, one);
      const other = changes.reduce((bytes, { at, bytes: put, removed }) => {
        const from = at % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + removed)]);
      }, whole);
      if (other.equals(whole)) return;
      changed += 1;
      const { out, fault } = through(other, steps, one.trailer !== undefined);
      const right = spelled(bodyBy(TO, one));
      if (fault === undefined) expect(upToTrailer(spelled(out))).toBe(upToTrailer(right));
      else expect(right.startsWith(spelled(out))).toBe(true);
    }),
    { runs: 3_000 },
  );
  expect(changed).toBeGreaterThan(1_500);
});
