import fc from "fast-check";
import { expect, it } from "vitest";
import { FrameRedactor, FrameScan } from "../../src/egress/interceptors/secret-frames.ts";
import { formsOf } from "../../src/secrets/forms.ts";
import { needlesOf } from "../../src/secrets/needles.ts";
import { cut, fuzz } from "../support/fuzz.ts";
import { frame } from "../support/websocket-frames.ts";

/** Few letters, so that beginnings of the value that come to nothing are everywhere. */
const VALUE = "ababacab/abab";
const PLACEHOLDER = "xyxyxyxyxyxyx";
const FORMS = formsOf(VALUE, PLACEHOLDER);

const piece = fc.oneof(
  fc.constant(VALUE),
  fc.constantFrom("ab", "aba", "ababac", "ababacab", "/abab", "b", "a", encodeURIComponent(VALUE)),
  fc.string({ maxLength: 6 }),
);
const message = fc.array(piece, { maxLength: 6 }).map((parts) => Buffer.from(parts.join(""), "latin1"));
const control = fc.record({ opcode: fc.constantFrom(9, 10), payload: message.map((bytes) => bytes.subarray(0, 125)) });
const sent = fc.record({ payload: message, cuts: fc.array(fc.nat(40), { maxLength: 5 }), between: fc.array(control, { maxLength: 3 }) });
const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });

type Sent = {
  readonly payload: Buffer;
  readonly cuts: readonly number[];
  readonly between: readonly { readonly opcode: number; readonly payload: Buffer }[];
};

/** A message in fragments with control frames between them, its payloads as `change` leaves them. */
function wire({ payload, cuts, between }: Sent, change: (bytes: Buffer) => Buffer, mask?: Buffer): Buffer {
  const masked = mask === undefined ? {} : { mask };
  const whole = change(payload);
  const ends = [...cuts.filter((at) => at < payload.length).toSorted((a, b) => a - b), payload.length];
  return Buffer.concat(
    ends.flatMap((end, i) => {
      const part = frame(whole.subarray(i === 0 ? 0 : ends[i - 1], end), {
        opcode: i === 0 ? 1 : 0,
        isFinal: i === ends.length - 1,
        ...masked,
      });
      const after =
        i === ends.length - 1 ? [] : between.slice(i, i + 1).map((one) => frame(change(one.payload), { opcode: one.opcode, ...masked }));
      return [part, ...after];
    }),
  );
}

const clean = (bytes: Buffer): Buffer => Buffer.from(needlesOf(FORMS).replaceIn(bytes.toString("latin1")), "latin1");
const same = (bytes: Buffer): Buffer => bytes;

it("a server's frames come out as if every message had been replaced in as a whole", async () => {
  await fuzz(
    fc.property(fc.array(sent, { minLength: 1, maxLength: 4 }), sizes, (messages, steps) => {
      const redactor = new FrameRedactor(FORMS);
      const bytes = Buffer.concat(messages.map((one) => wire(one, same)));
      const out = cut(bytes, steps).flatMap((chunk) => redactor.write(chunk).map((part) => Buffer.from(part)));
      expect(redactor.failed).toBe(false);
      expect(Buffer.concat(out).toString("latin1")).toBe(Buffer.concat(messages.map((one) => wire(one, clean))).toString("latin1"));
    }),
    { runs: 3000 },
  );
});

it("a client's frames are refused exactly when a message or a control frame holds a text", async () => {
  const mask = Buffer.from([9, 8, 7, 6]);
  await fuzz(
    fc.property(fc.array(sent, { minLength: 1, maxLength: 4 }), sizes, (messages, steps) => {
      const scan = new FrameScan(FORMS);
      const bytes = Buffer.concat(messages.map((one) => wire(one, same, mask)));
      const isRefused = cut(bytes, steps).some((chunk) => scan.write(chunk) !== undefined);
      const used = messages.flatMap(({ payload, cuts, between }) => {
        const fragments = cuts.filter((at) => at < payload.length).length;
        return [payload, ...between.slice(0, fragments).map((one) => one.payload)];
      });
      expect(isRefused).toBe(used.some((one) => FORMS.some((form) => one.includes(form.bytes))));
    }),
    { runs: 3000 },
  );
});

it("no bytes make either of them throw", async () => {
  await fuzz(
    fc.property(fc.uint8Array({ maxLength: 300 }), sizes, (random, steps) => {
      const [scan, redactor] = [new FrameScan(FORMS), new FrameRedactor(FORMS)];
      let size = 0;
      for (const chunk of cut(Buffer.from(random), steps)) {
        scan.write(chunk);
        for (const part of redactor.write(chunk)) size += part.length;
      }
      expect(size).toBeLessThanOrEqual(random.length);
    }),
    { runs: 3000 },
  );
});
