import fc from "fast-check";
import { expect, it } from "vitest";
import { createResponseTap } from "../../src/providers/response-tap.ts";
import { createUsageStripper } from "../../src/providers/strip.ts";
import { SseParser, type SseSink } from "../../src/providers/sse.ts";
import type { Recognition, ShapeId } from "../../src/providers/types.ts";
import { cut, fuzz } from "../support/fuzz.ts";

/** Bytes that look like event streams more often than chance would have it. */
const fragment = fc.oneof(
  fc.constantFrom("data:", "data: ", "data", "event: error", "id: 1", ":", ": c", "\n", "\r", "\r\n", "\n\n", "\ufeff", "[DONE]", "\0"),
  fc.constantFrom(
    '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    '{"choices":[{"delta":{"content":"x"}}]}',
    '{"usage":',
    '{"type":"error","error":{}}',
    "[{",
    '"é',
    "\\",
  ),
  fc.string({ unit: "binary", maxLength: 20 }),
);
const body = fc.oneof(
  fc.array(fragment, { maxLength: 30 }).map((parts) => Buffer.from(parts.join(""))),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);
const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 });

/** Events as the specification's own algorithm gives them, on the whole text, an event at the end without its blank line included. */
function reference(whole: Buffer): readonly string[] {
  const bytes = whole.subarray(whole[0] === 0xef && whole[1] === 0xbb && whole[2] === 0xbf ? 3 : 0);
  const events: string[] = [];
  let data: string[] = [];
  for (const line of bytes.toString("latin1").split(/\r\n|\n|\r/)) {
    if (line === "") {
      if (data.length > 0) events.push(data.join("\n"));
      data = [];
    } else if (line === "data" || line.startsWith("data:")) {
      data.push(line.slice(5).replace(/^ /, ""));
    }
  }
  if (data.length > 0) events.push(data.join("\n"));
  return events;
}

function parsed(pieces: readonly Buffer[]): readonly string[] {
  const events: string[] = [];
  let data: string[] = [];
  const flush = (): void => {
    if (data.length > 0) events.push(data.join("\n"));
    data = [];
  };
  const sink: SseSink = {
    line: () => undefined,
    field: (kind) => {
      if (kind === "data") data.push("");
    },
    data: (buffer, from, to) => {
      data.push((data.pop() ?? "") + buffer.toString("latin1", from, to));
    },
    dataEnd: () => undefined,
    event: flush,
  };
  const parser = new SseParser(sink);
  for (const piece of pieces) parser.write(piece);
  flush();
  return events;
}

it("parses any bytes as the specification does, in any chunking", async () => {
  await fuzz(
    fc.property(body, sizes, (whole, at) => {
      // half a byte order mark, and a field cut off by the end, are nobody's stream
      fc.pre(!(whole[0] === 0xef && !(whole[1] === 0xbb && whole[2] === 0xbf)));
      fc.pre(!/(?:^|[\r\n])(?:\ufeff|\u00ef\u00bb\u00bf)?data$/.test(whole.toString("latin1")));
      expect(parsed(cut(whole, at))).toEqual(reference(whole));
    }),
    { runs: 2000 },
  );
});

it("never throws, and reads the same in any chunking", async () => {
  const shape = fc.constantFrom<ShapeId>("openai-chat", "openai-responses", "anthropic-messages", "google-generate-content", "cohere");
  const type = fc.constantFrom("text/event-stream", "application/json", undefined, "application/x-ndjson");
  const how = fc.constantFrom<"complete" | "aborted" | "error">("complete", "aborted", "error");
  await fuzz(
    fc.asyncProperty(body, sizes, shape, type, how, async (whole, at, shapeId, contentType, end) => {
      const recognition: Recognition = { provider: "openai", shape: shapeId, operation: "chat", billable: true, injectUsage: true };
      const facts = await Promise.all(
        [[whole], cut(whole, at)].map((pieces) => {
          const tap = createResponseTap(recognition, { status: 200, headers: { contentType } });
          for (const piece of pieces) tap.write(piece);
          return tap.end(end);
        }),
      );
      expect(facts[1]).toEqual(facts[0]);
    }),
    { runs: 1000 },
  );
});

it("strips in any chunking what it strips from the whole, and only whole events", async () => {
  const strip = (pieces: readonly Buffer[]): string => {
    const stripper = createUsageStripper();
    return Buffer.concat([...pieces.flatMap((piece) => [...stripper.transform(piece)]), ...stripper.flush()]).toString("latin1");
  };
  await fuzz(
    fc.property(body, sizes, (whole, at) => {
      const out = strip([whole]);
      expect(strip(cut(whole, at))).toBe(out);
      if (!whole.includes("usage")) expect(out).toBe(whole.toString("latin1"));
    }),
    { runs: 1000 },
  );
});
