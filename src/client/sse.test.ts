import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEvents, type SseEvent } from "./sse.ts";

async function read(...chunks: readonly Uint8Array[]): Promise<SseEvent[]> {
  const events: SseEvent[] = [];
  const source = (async function* () {
    yield* chunks;
  })();
  for await (const event of readEvents(source)) events.push(event);
  return events;
}
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("readEvents", () => {
  it("reads events with names, ids and several lines of data", async () => {
    expect(await read(bytes(": hello\n\nid: 1\nevent: a\ndata: x\ndata:y\n\ndata: z\n\nevent: no data\n\ndata: cut"))).toEqual([
      { event: "a", data: "x\ny", id: "1" },
      { event: "message", data: "z", id: "1" },
    ]);
  });

  it("reads the same however it was cut, with every line ending", async () => {
    const text = 'id: é1\nevent: ü\ndata: {"a": "日本"}\n\ndata: 2\n\n';
    const expected = await read(bytes(text));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom("\n", "\r\n", "\r"), fc.array(fc.nat(80), { maxLength: 8 }), async (ending, cuts) => {
        const whole = bytes(text.replaceAll("\n", ending) + (ending === "\r" ? "\n" : ""));
        const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
        const chunks = at.slice(1).map((end, i) => whole.subarray(at[i], end));
        expect(await read(...chunks)).toEqual(expected);
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it("gives up on an event without end", async () => {
    const chunk = bytes("x".repeat(1024 * 1024));
    await expect(read(...Array.from({ length: 17 }, () => chunk))).rejects.toMatchObject({ code: "TOO_LARGE" });
  });
});
