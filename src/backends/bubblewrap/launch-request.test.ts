import { expect, test } from "vitest";
import { encodeGo, encodeSignal, encodeStart } from "./launch-request.ts";

test("a start is written as guest/launcher-request.c reads it", () => {
  const frame = encodeStart(0x01020304, {
    argv: ["/a", "ü"],
    owner: { uid: 1000, gid: 1001 },
    opened: [
      { kind: "content", content: "hé" },
      { kind: "reading", path: "/r" },
      { kind: "writing", path: "/w" },
      { kind: "held", path: "/h", device: 5n, inode: 2n ** 63n + 1n },
    ],
  });
  const payload = Buffer.concat([
    Buffer.from([0xe8, 3, 0, 0, 0xe9, 3, 0, 0, 2, 0]),
    Buffer.from("/a\0ü\0"),
    Buffer.from([4, 0]),
    Buffer.from("c\x03\0\0\0hé"),
    Buffer.from("r/r\0w/w\0h"),
    Buffer.from([5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80]),
    Buffer.from("/h\0"),
  ]);
  expect(frame).toEqual(Buffer.concat([Buffer.from([payload.length, 0, 0, 0, 0x53, 4, 3, 2, 1]), payload]));
});

test("without an owner it stays what we are", () => {
  const frame = encodeStart(1, { argv: ["/a"], owner: undefined, opened: [] });
  expect(frame.subarray(9, 17)).toEqual(Buffer.alloc(8, 0xff));
});

test("the word to start and a signal name the sandbox", () => {
  expect(encodeGo(7)).toEqual(Buffer.from([0, 0, 0, 0, 0x47, 7, 0, 0, 0]));
  expect(encodeSignal(7, 15)).toEqual(Buffer.from([1, 0, 0, 0, 0x4b, 7, 0, 0, 0, 15]));
});
