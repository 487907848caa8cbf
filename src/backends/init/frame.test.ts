import { describe, expect, test } from "vitest";
import { CHANNEL, encodeFrame, FRAME, type Frame, FrameDecoder, FrameError, HEADER_BYTES, MAX_DATA } from "./frame.ts";

function decode(chunks: readonly Buffer[], maxPayload = MAX_DATA): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder({ maxPayload });
  for (const chunk of chunks) decoder.push(chunk, (frame) => frames.push(frame));
  return frames;
}

describe("frames", () => {
  test("a header is length, type, channel, two zero bytes and stream, big-endian", () => {
    expect(encodeFrame(FRAME.data, CHANNEL.err, 0x01020304, Buffer.from("hi")).toString("hex")).toBe(
      "00000002" + "04" + "02" + "0000" + "01020304" + "6869",
    );
  });

  test("come out as they went in, whole, joined or byte by byte", () => {
    const wire = Buffer.concat([
      encodeFrame(FRAME.hello, 0, 0, Buffer.from("AKIN")),
      encodeFrame(FRAME.eof, CHANNEL.out, 7),
      encodeFrame(FRAME.data, CHANNEL.in, 0xffffffff, Buffer.alloc(MAX_DATA, 5)),
      encodeFrame(FRAME.exit, 0, 9, Buffer.from([0, 1])),
    ]);
    const whole = decode([wire]);
    expect(whole.map(({ type, channel, stream, payload }) => [type, channel, stream, payload.length])).toEqual([
      [1, 0, 0, 4],
      [5, 1, 7, 0],
      [4, 0, 0xffffffff, MAX_DATA],
      [12, 0, 9, 2],
    ]);
    expect(decode(Array.from(wire, (byte) => Buffer.from([byte])))).toEqual(whole);
  });

  test("an empty payload ends a frame without another byte", () => {
    expect(decode([encodeFrame(FRAME.eof, 1, 3)])).toHaveLength(1);
  });

  test("a longer payload than permitted is refused at its header", () => {
    const frame = encodeFrame(FRAME.data, 0, 1, Buffer.alloc(11));
    expect(decode([frame], 11)).toHaveLength(1);
    expect(() => decode([frame.subarray(0, HEADER_BYTES)], 10)).toThrow(FrameError);
  });

  test("reserved bytes must be zero", () => {
    const frame = encodeFrame(FRAME.eof, 0, 1);
    frame[7] = 1;
    expect(() => decode([frame])).toThrow(FrameError);
  });

  test("what is held of an unfinished frame is bounded by it", () => {
    const decoder = new FrameDecoder({ maxPayload: MAX_DATA });
    decoder.push(encodeFrame(FRAME.data, 0, 1, Buffer.alloc(100)).subarray(0, 60), () => undefined);
    expect(decoder.pending).toBe(60);
    decoder.push(Buffer.alloc(52), () => undefined);
    expect(decoder.pending).toBe(0);
  });
});
