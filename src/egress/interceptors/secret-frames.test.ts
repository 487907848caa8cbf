import { expect, it } from "vitest";
import { formsOf } from "../../secrets/forms.ts";
import { frame } from "../../../test/support/websocket-frames.ts";
import { FrameRedactor, FrameScan, policyClose } from "./secret-frames.ts";

const VALUE = "sk-proj-real/value+that=must-not-leak-9X";
const PLACEHOLDER = "sk-proj-placeholder0123456789abcdef01234";
const MASK = Buffer.from([1, 2, 3, 4]);
const TEXTS = formsOf(PLACEHOLDER, PLACEHOLDER);

/** The pieces of a text as frames of one message. */
function fragments(pieces: readonly (string | Buffer)[], options: { mask?: Buffer; between?: Buffer } = {}): Buffer {
  const mask = options.mask === undefined ? {} : { mask: options.mask };
  return Buffer.concat(
    pieces.flatMap((piece, i) => [
      ...(i > 0 && options.between !== undefined ? [options.between] : []),
      frame(Buffer.from(piece), { opcode: i === 0 ? 1 : 0, isFinal: i === pieces.length - 1, ...mask }),
    ]),
  );
}

function scanned(bytes: Buffer, step: number): boolean {
  const scan = new FrameScan(TEXTS);
  for (let at = 0; at < bytes.length; at += step) if (scan.write(bytes.subarray(at, at + step)) !== undefined) return true;
  return false;
}

const ping = frame(Buffer.from("ping"), { opcode: 9, mask: MASK });

it.each([1, 2, 7, 100_000])("finds a text in frames that come %i bytes at a time, however the message is cut", (step) => {
  const [a, b] = [PLACEHOLDER.slice(0, 9), PLACEHOLDER.slice(9)];
  for (const bytes of [
    fragments([`{"k":"${PLACEHOLDER}"}`], { mask: MASK }),
    fragments([`{"k":"${a}`, "", `${b}"}`], { mask: MASK, between: ping }),
    fragments([...PLACEHOLDER], { mask: MASK, between: ping }),
    fragments([Buffer.from(PLACEHOLDER).toString("base64")], { mask: MASK }),
    fragments([`${"x".repeat(70_000)}${PLACEHOLDER}`], { mask: MASK }),
    frame(Buffer.from(PLACEHOLDER), { opcode: 9, mask: MASK }),
    frame(Buffer.concat([Buffer.from([3, 232]), Buffer.from(PLACEHOLDER)]), { opcode: 8, mask: MASK }),
  ])
    expect(scanned(bytes, step)).toBe(true);
  // the ends of two messages are no text
  const apart = Buffer.concat([fragments([a], { mask: MASK }), fragments([b], { mask: MASK })]);
  expect(scanned(apart, step)).toBe(false);
});

it("lets nothing through that is no frame, claims to be compressed, or comes behind a close", () => {
  expect(new FrameScan(TEXTS).write(Buffer.from("GET / HTTP/1.1\r\n\r\n"))).toBe("unreadable");
  expect(new FrameScan(TEXTS).write(frame(Buffer.from("x"), { isCompressed: true, mask: MASK }))).toBe("unreadable");
  const scan = new FrameScan(TEXTS);
  expect(scan.write(frame(Buffer.alloc(0), { opcode: 8, mask: MASK }))).toBeUndefined();
  expect(scan.write(Buffer.from("x"))).toBe("unreadable");
});

function redacted(bytes: Buffer, step: number): Buffer {
  const redactor = new FrameRedactor(formsOf(VALUE, PLACEHOLDER));
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += step)
    out.push(...redactor.write(bytes.subarray(at, at + step)).map((piece) => Buffer.from(piece)));
  expect(redactor.failed).toBe(false);
  expect(redactor.found).toBeGreaterThan(0);
  return Buffer.concat(out);
}

it.each([1, 3, 50, 100_000])("replaces a value in a server's frames that come %i bytes at a time, and no other byte", (step) => {
  const [a, b] = [VALUE.slice(0, 11), VALUE.slice(11)];
  const [pa, pb] = [PLACEHOLDER.slice(0, 11), PLACEHOLDER.slice(11)];
  const between = frame(Buffer.from("are you there"), { opcode: 9 });
  for (const [sent, expected] of [
    [fragments([`you are ${VALUE}!`]), fragments([`you are ${PLACEHOLDER}!`])],
    [fragments([`you are ${a}`, `${b}!`], { between }), fragments([`you are ${pa}`, `${pb}!`], { between })],
    [fragments([...VALUE], { between }), fragments([...PLACEHOLDER], { between })],
    [fragments([a, "", b]), fragments([pa, "", pb])],
    [frame(Buffer.from(VALUE), { opcode: 9 }), frame(Buffer.from(PLACEHOLDER), { opcode: 9 })],
    [Buffer.concat([fragments([a, b]), fragments(["next"])]), Buffer.concat([fragments([pa, pb]), fragments(["next"])])],
  ] as const)
    expect(redacted(sent, step).equals(expected)).toBe(true);
});

it("passes on at once what cannot be the beginning of a value, and what ends a message", () => {
  const redactor = new FrameRedactor(formsOf(VALUE, PLACEHOLDER));
  const size = (pieces: readonly Buffer[]): number => pieces.reduce((sum, piece) => sum + piece.length, 0);
  const whole = fragments(["ends in sk-pro"]);
  expect(size(redactor.write(whole))).toBe(whole.length);
  const first = frame(Buffer.from("ends in sk-pro"), { isFinal: false });
  expect(size(redactor.write(first))).toBe(first.length - "sk-pro".length);
  const last = frame(Buffer.from("mise"), { opcode: 0 });
  expect(size(redactor.write(last))).toBe(last.length + "sk-pro".length);
});

it("gives up on a server that goes on and on where a value may have begun", () => {
  const redactor = new FrameRedactor(formsOf(VALUE, PLACEHOLDER));
  redactor.write(frame(Buffer.from("sk-pro"), { isFinal: false }));
  for (let i = 0; i < 2_000 && !redactor.failed; i += 1) redactor.write(frame(Buffer.alloc(125), { opcode: 9 }));
  expect(redactor.failed).toBe(true);
  expect(redactor.write(Buffer.from("more"))).toEqual([]);
});

it("closes with a frame of a length that a control frame may have", () => {
  const bytes = policyClose(`${"ä".repeat(200)}`);
  expect([bytes[0], bytes[1], bytes.readUInt16BE(2), bytes.length]).toEqual([0x88, 125, 1008, 127]);
});
