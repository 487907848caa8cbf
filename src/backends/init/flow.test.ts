import { describe, expect, test } from "vitest";
import { Inbound, Outbound } from "./flow.ts";
import { FrameError, MAX_DATA, WINDOW } from "./frame.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";

function inbound(options: { readonly takesMore?: () => boolean } = {}) {
  const pushed: (Buffer | null)[] = [];
  const granted: number[] = [];
  const flow = new Inbound({
    push: (chunk) => {
      pushed.push(chunk);
      return options.takesMore?.() ?? true;
    },
    grant: (bytes) => granted.push(bytes),
  });
  return { flow, pushed, granted };
}

describe("bytes from the sandbox", () => {
  test("wait until the reader wants them, in order, then the end", () => {
    const { flow, pushed } = inbound();
    flow.receive(Buffer.from("a"));
    flow.receive(Buffer.alloc(9_000, "b"));
    flow.receive(Buffer.from("c"));
    flow.end();
    expect(pushed).toEqual([]);
    flow.pull();
    expect(pushed.at(-1)).toBeNull();
    expect(Buffer.concat(pushed.slice(0, -1) as Buffer[]).toString()).toBe(`a${"b".repeat(9_000)}c`);
  });

  test("stop when the reader has enough", () => {
    const { flow, pushed } = inbound({ takesMore: () => false });
    flow.receive(Buffer.alloc(10_000));
    flow.receive(Buffer.alloc(10_000));
    flow.pull();
    expect(pushed).toHaveLength(1);
    flow.pull();
    expect(pushed).toHaveLength(2);
  });

  test("credit comes back in halves of the window, and only for what was read", () => {
    const { flow, granted } = inbound();
    for (let i = 0; i < 4; i += 1) flow.receive(Buffer.alloc(MAX_DATA));
    expect(granted).toEqual([]);
    flow.pull();
    expect(granted).toEqual([WINDOW / 2, WINDOW / 2]);
  });

  test("beyond the window, past the end, or nothing at all: a breach", () => {
    const full = inbound().flow;
    for (let i = 0; i < 4; i += 1) full.receive(Buffer.alloc(MAX_DATA));
    expect(() => full.receive(Buffer.alloc(1))).toThrow(FrameError);
    const ended = inbound().flow;
    ended.end();
    expect(() => ended.receive(Buffer.alloc(1))).toThrow(FrameError);
    expect(() => ended.end()).toThrow(FrameError);
    expect(() => inbound().flow.receive(Buffer.alloc(0))).toThrow(FrameError);
  });

  test("a reader that left is not fed, and the window still holds", () => {
    const { flow, pushed } = inbound();
    flow.stop();
    flow.receive(Buffer.alloc(WINDOW));
    flow.pull();
    expect(pushed).toEqual([]);
    expect(() => flow.receive(Buffer.alloc(1))).toThrow(FrameError);
  });
});

describe("bytes to the sandbox", () => {
  test("go in frames, up to the credit, and on when more is granted", () => {
    const sent: number[] = [];
    let done = 0;
    const flow = new Outbound((chunk, callback) => {
      sent.push(chunk.length);
      callback?.();
    });
    flow.write(Buffer.alloc(WINDOW + 10), () => {
      done += 1;
    });
    expect(sent).toEqual([MAX_DATA, MAX_DATA, MAX_DATA, MAX_DATA]);
    expect(done).toBe(0);
    flow.grant(4);
    flow.grant(100);
    expect(sent.slice(4)).toEqual([4, 6]);
    expect(done).toBe(1);
  });

  test("more credit than the window is a breach", () => {
    const flow = new Outbound(() => undefined);
    expect(() => flow.grant(1)).toThrow(FrameError);
    expect(() => flow.grant(0)).toThrow(FrameError);
  });

  test("a stopped one ends the waiting write and takes no more", () => {
    const results: (Error | null | undefined)[] = [];
    const flow = new Outbound(() => undefined);
    flow.write(Buffer.alloc(WINDOW + 1), (error) => results.push(error));
    flow.stop(new Error("gone"));
    flow.write(Buffer.alloc(1), (error) => results.push(error));
    expect(results.map((error) => error?.message)).toEqual(["gone", "gone"]);
  });
});

describe("the receive buffer", () => {
  test("keeps every byte in order, in any cut", () => {
    const buffer = new ReceiveBuffer();
    const put: Buffer[] = [];
    const got: Buffer[] = [];
    for (let i = 0; i < 5_000; i += 1) {
      const piece = Buffer.alloc((i * 7919) % 301 === 0 ? 10_000 : (i * 31) % 97, i & 0xff);
      put.push(Buffer.from(piece));
      buffer.add(piece);
      piece.fill(0, 0, piece.length < 8 * 1024 ? piece.length : 0);
      if (i % 3 === 0) got.push(buffer.take() ?? Buffer.alloc(0));
    }
    for (let chunk = buffer.take(); chunk !== undefined; chunk = buffer.take()) got.push(chunk);
    expect(Buffer.concat(got).equals(Buffer.concat(put))).toBe(true);
  });

  test("one byte does not pin the chunk it came in", () => {
    const buffer = new ReceiveBuffer();
    for (let i = 0; i < 1_000; i += 1) buffer.add(Buffer.allocUnsafeSlow(65_536).subarray(7, 8));
    buffer.add(Buffer.allocUnsafeSlow(65_536).subarray(0, 9_000));
    const memory = new Set<ArrayBufferLike>();
    for (let chunk = buffer.take(); chunk !== undefined; chunk = buffer.take()) memory.add(chunk.buffer);
    expect([...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(32_768);
  });
});
