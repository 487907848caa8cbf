import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFrame, encodeFrame, EXEC_MAX_DATA, type ExecFrame } from "./exec-frames.ts";

const stream = fc.constantFrom("stdin" as const, "stdout" as const, "stderr" as const);
const frame: fc.Arbitrary<ExecFrame> = fc.oneof(
  fc.record({ kind: fc.constant("data" as const), stream, bytes: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) }),
  fc.record({ kind: fc.constant("eof" as const), stream }),
  fc.record({ kind: fc.constant("window" as const), stream, bytes: fc.nat(0xffff_ffff) }),
  fc.record({ kind: fc.constant("start" as const), value: fc.record({ command: fc.array(fc.string(), { minLength: 1 }) }) }),
  fc.record({
    kind: fc.constant("resize" as const),
    value: fc.record({ rows: fc.integer({ min: 1, max: 65_535 }), cols: fc.integer({ min: 1, max: 65_535 }) }),
  }),
  fc.record({
    kind: fc.constant("signal" as const),
    value: fc.constantFrom({ signal: "SIGINT" as const }, { signal: "SIGKILL" as const }),
  }),
  fc.record({
    kind: fc.constant("exit" as const),
    value: fc.record({ code: fc.option(fc.integer({ min: 0, max: 255 })), signal: fc.option(fc.constant("SIGTERM")) }),
  }),
);

describe("exec frames", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(frame, (one) => {
        expect(decodeFrame(encodeFrame(one))).toEqual(one);
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  it("fail in one way only, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeFrame(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: "VALIDATION" });
        }
      }),
      { seed: 12, numRuns: 2_000 },
    );
  });

  it.each<[string, Buffer]>([
    ["data of no stream", Buffer.from([1])],
    ["data of a fourth stream", Buffer.from([1, 3, 0])],
    ["too much data", Buffer.concat([Buffer.from([1, 0]), Buffer.alloc(EXEC_MAX_DATA + 1)])],
    ["a long eof", Buffer.from([2, 0, 0])],
    ["a short window", Buffer.from([3, 1, 0, 0])],
    ["an unknown signal", Buffer.from('\x13{"signal":"SIGSEGV"}', "latin1")],
    ["a terminal of no size", Buffer.from('\x12{"rows":0,"cols":80}', "latin1")],
    ["text that is not UTF-8", Buffer.from([0x10, 0xff])],
  ])("refuse %s", (_name, bytes) => expect(() => decodeFrame(bytes)).toThrowError(expect.objectContaining({ code: "VALIDATION" })));
});
