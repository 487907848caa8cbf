import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { sentBody } from "./sent-body.ts";

describe("a body as it is sent", () => {
  it("is one piece when it is small", () => {
    const bytes = Buffer.from("{}");
    expect(sentBody({ kind: "bytes", bytes })).toEqual({ content: bytes, length: null });
    expect(sentBody({ kind: "none" })).toEqual({ content: null, length: null });
  });

  it("comes in pieces when it is large, whole for each attempt, and says its length", async () => {
    const bytes = randomBytes(1_000_001);
    for (const _attempt of [1, 2]) {
      const { content, length } = sentBody({ kind: "bytes", bytes });
      expect(length).toBe(bytes.length);
      expect(content).toBeInstanceOf(Readable);
      expect((await buffer(content as Readable)).equals(bytes)).toBe(true);
    }
  });

  it("may be given up at any time", async () => {
    const { content } = sentBody({ kind: "bytes", bytes: Buffer.alloc(1_000_000) });
    (content as Readable).destroy(new Error("given up"));
    await new Promise((resolve) => (content as Readable).once("close", resolve));
    expect((content as Readable).destroyed).toBe(true);
  });
});
