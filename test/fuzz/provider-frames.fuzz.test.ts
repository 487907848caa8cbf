import { constants, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventStreamParser } from "../../src/providers/eventstream.ts";
import { MultipartParser, multipartBoundary } from "../../src/providers/multipart.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { createFrameTap } from "../../src/providers/websocket/frame-tap.ts";
import { FrameParser } from "../../src/providers/websocket/frame-parser.ts";
import type { SocketCall } from "../../src/providers/websocket/session.ts";
import { eventStreamMessage } from "../support/vectors.ts";
import { frame } from "../support/websocket-frames.ts";
import { cut, fuzz } from "../support/fuzz.ts";

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

describe("event streams", () => {
  const header = fc.tuple(fc.constantFrom(":event-type", ":message-type", "x"), fc.string({ maxLength: 20 }));
  const messages = fc.array(fc.tuple(fc.array(header, { maxLength: 3 }), bytes(80)), { maxLength: 6 });
  type Message = { readonly headers: Record<string, string>; readonly payload: string };

  function read(pieces: readonly Buffer[]): { readonly seen: readonly Message[]; readonly failed: boolean } {
    const seen: Message[] = [];
    const parser = new EventStreamParser({
      message: ({ headers, payload }) => seen.push({ headers: Object.fromEntries(headers), payload: payload.toString("hex") }),
      skipped: () => undefined,
    });
    for (const piece of pieces) parser.write(piece);
    return { seen, failed: parser.failed };
  }

  it("come back as they were sent, in any chunking", async () => {
    await fuzz(
      fc.property(messages, sizes, (sent, at) => {
        const wire = Buffer.concat(sent.map(([headers, payload]) => eventStreamMessage(Object.fromEntries(headers), payload)));
        const wanted = sent.map(([headers, payload]) => ({ headers: Object.fromEntries(headers), payload: payload.toString("hex") }));
        expect(read(cut(wire, at))).toEqual({ seen: wanted, failed: false });
      }),
      { runs: 2000 },
    );
  });

  it("give nothing behind a bit that was turned over, and nothing that was not sent", async () => {
    await fuzz(
      fc.property(messages, fc.nat(), sizes, (sent, at, pieces) => {
        const wire = Buffer.concat(sent.map(([headers, payload]) => eventStreamMessage(Object.fromEntries(headers), payload)));
        if (wire.length === 0) return;
        const whole = read([wire]).seen;
        const bit = at % (wire.length * 8);
        wire[bit >> 3] = (wire[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const { seen } = read(cut(wire, pieces));
        expect(seen.length).toBeLessThan(whole.length);
        expect(seen).toEqual(whole.slice(0, seen.length));
      }),
      { runs: 2000 },
    );
  });

  it("never throw, and hold no more than one message", async () => {
    await fuzz(
      fc.property(bytes(300), sizes, (wire, at) => {
        expect(read(cut(wire, at)).failed).toBe(read([wire]).failed);
      }),
      { runs: 2000 },
    );
    // a length of 24 MiB is believed, and costs nothing
    const prelude = eventStreamMessage({}, Buffer.alloc(0)).subarray(0, 12);
    const before = process.memoryUsage().arrayBuffers;
    const parsers = Array.from({ length: 100 }, () => new EventStreamParser({ message: () => undefined, skipped: () => undefined }));
    for (const parser of parsers) parser.write(prelude);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  });
});

describe("multipart forms", () => {
  const boundary = fc.stringMatching(/^[A-Za-z0-9'()+_,./:=?-]{1,40}$/);
  // what is most like the end of a part
  const nasty = (mark: string) =>
    fc
      .array(fc.constantFrom("\r", "\n", "\r\n", "-", "--", "\r\n-", "\r\n--", mark.slice(0, -1), `--${mark.slice(0, -1)}`, "x", "é"), {
        maxLength: 20,
      })
      .map((parts) => parts.join(""))
      // at the begin of a line no value may look like a delimiter (RFC 2046 §5.1.1), and its first line is one
      .filter((value) => !`\r\n${value}`.includes(`\r\n--${mark}`));
  const name = fc.constantFrom("model", "stream", "n", "prompt", "image[]");

  function read(
    type: string,
    pieces: readonly Buffer[],
  ): { readonly fields: readonly (readonly [string, string])[]; readonly end: string } {
    const fields: (readonly [string, string])[] = [];
    const mark = multipartBoundary(type);
    if (mark === null) throw new Error("no boundary");
    const parser = new MultipartParser(
      mark,
      {
        wantsField: (field) => field !== "prompt",
        field: (field, text) => fields.push([field, text]),
        dropped: (field) => fields.push([field, "(dropped)"]),
      },
      64,
    );
    for (const piece of pieces) parser.write(piece);
    return { fields, end: parser.finish() };
  }

  it("give their wanted fields wherever they stand, in any chunking", async () => {
    const form = boundary.chain((mark) =>
      fc.tuple(fc.constant(mark), fc.array(fc.tuple(name, nasty(mark), fc.boolean()), { minLength: 1, maxLength: 6 }), sizes, nasty(mark)),
    );
    await fuzz(
      fc.property(form, ([mark, parts, at, preamble]) => {
        const text = parts
          .map(
            ([field, value, isFile]) =>
              `--${mark}\r\ncontent-disposition: form-data; name="${field}"${isFile ? '; filename="f"' : ""}\r\n\r\n${value}\r\n`,
          )
          .join("");
        // a preamble that ends in a half line would join the delimiter
        const before = preamble === "" || preamble.startsWith("--") || preamble.includes(`--${mark}`) ? "" : `${preamble}\r\n`;
        const wanted = parts
          .filter(([field, , isFile]) => !isFile && field !== "prompt")
          .map(([field, value]) => [field, Buffer.byteLength(value) + 2 > 64 ? "(dropped)" : value]);
        const type = `multipart/form-data; boundary="${mark}"`;
        expect(read(type, cut(Buffer.from(`${before}${text}--${mark}--\r\n`), at))).toEqual({ fields: wanted, end: "complete" });
      }),
      { runs: 2000 },
    );
  });

  it("never throw on anything, and read the same in every chunking", async () => {
    const noise = fc.array(
      fc.constantFrom("--b", "\r\n", "--", "-", "content-disposition: form-data; name=model", '; name="x"', "\r", "é", "b"),
      {
        maxLength: 40,
      },
    );
    await fuzz(
      fc.property(noise, sizes, (parts, at) => {
        const whole = Buffer.from(parts.join(""));
        const type = "multipart/form-data;boundary=b";
        expect(read(type, cut(whole, at))).toEqual(read(type, [whole]));
      }),
      { runs: 2000 },
    );
  });

  it("hold no headers without end", async () => {
    const before = process.memoryUsage().arrayBuffers;
    const wire = [Buffer.from("--b\r\nx: "), ...Array.from({ length: 64 }, () => Buffer.alloc(1 << 20, "y"))];
    expect(read("multipart/form-data;boundary=b", wire).end).toBe("failed");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(72 << 20);
  });
});

describe("WebSocket frames", () => {
  const mask = fc.option(
    bytes(4).filter((value) => value.length === 4),
    { nil: undefined },
  );
  const part = fc.tuple(bytes(200), mask, fc.option(bytes(20), { nil: undefined }));
  const messages = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.array(part, { minLength: 1, maxLength: 4 })), { maxLength: 5 });

  function read(pieces: readonly Buffer[]): { readonly seen: readonly string[]; readonly failed: boolean } {
    const seen: string[] = [];
    let open: Buffer[] = [];
    const parser = new FrameParser({
      begin: () => {
        open = [];
      },
      data: (data) => open.push(Buffer.from(data)),
      end: () => seen.push(Buffer.concat(open).toString("hex")),
    });
    for (const piece of pieces) parser.write(piece);
    return { seen, failed: parser.failed };
  }

  it("come back as messages, fragmented, masked, with control frames between, in any chunking", async () => {
    await fuzz(
      fc.property(messages, sizes, (sent, at) => {
        const wire = sent.flatMap(([opcode, parts]) =>
          parts.flatMap(([payload, key, ping], index) => {
            const masked = key === undefined ? {} : { mask: key };
            const data = frame(payload, { opcode: index === 0 ? opcode : 0, isFinal: index === parts.length - 1, ...masked });
            return ping === undefined ? [data] : [frame(ping, { opcode: 9, ...masked }), data];
          }),
        );
        const wanted = sent.map(([, parts]) => Buffer.concat(parts.map(([payload]) => payload)).toString("hex"));
        const whole = Buffer.concat(wire);
        const before = Buffer.from(whole);
        expect(read(cut(whole, at))).toEqual({ seen: wanted, failed: false });
        expect(whole.equals(before), "the parser changed a byte").toBe(true);
      }),
      { runs: 2000 },
    );
  });

  it("never throw, and read the same in every chunking", async () => {
    await fuzz(
      fc.property(bytes(200), sizes, (wire, at) => {
        expect(read(cut(wire, at))).toEqual(read([wire]));
      }),
      { runs: 2000 },
    );
  });

  it("never make the tap throw, whatever is compressed, and every call is reported once", async () => {
    const table = createProviderTable({ customDomains: [] });
    const paths = [
      ["api.openai.com", "/v1/responses"],
      ["api.openai.com", "/v1/realtime"],
      ["api.openai.com", "/v1/live"],
      ["api.anthropic.com", "/v1/messages"],
      ["generativelanguage.googleapis.com", "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"],
    ] as const;
    const texts = [
      '{"type":"response.create","model":"m"}',
      '{"type":"response.completed","response":{"id":"r","status":"completed","usage":{"input_tokens":1,"output_tokens":2}}}',
      '{"type":"response.done","response":{"id":"r","usage":null}}',
      '{"type":"session.usage.updated","usage":{"seconds":-1}}',
      '{"model":5,"type":"message_stop","error":{}}',
      '{"usageMetadata":{"promptTokenCount":1},"serverContent":{"turnComplete":true}}',
      '{"usageMetadata":[],"usage":"x","response":[],"session":7}',
      '{"type":',
      "[1,2]",
    ];
    const deflated = new Map(texts.map((text) => [text, deflateRawSync(Buffer.from(text), { finishFlush: constants.Z_SYNC_FLUSH })]));
    const one = fc.tuple(fc.constantFrom(...texts), fc.boolean(), fc.boolean(), fc.constantFrom("plain", "deflated", "noise"));
    await fuzz(
      fc.property(fc.constantFrom(...paths), fc.array(one, { maxLength: 12 }), sizes, ([host, path], sent, at) => {
        const recognition = table.recognize({ host, method: "GET", path, query: "model=q", upgrade: true });
        if (recognition === undefined) throw new Error("not recognised");
        const calls: SocketCall[] = [];
        const tap = createFrameTap(recognition, { extensions: "permessage-deflate", onCall: (call) => calls.push(call) });
        if (tap === null) throw new Error("no tap");
        for (const [text, isClient, isBinary, how] of sent) {
          const payload = (how === "deflated" ? deflated.get(text) : undefined) ?? Buffer.from(text);
          const wire = frame(payload, { opcode: isBinary ? 2 : 1, isCompressed: how !== "plain" });
          for (const piece of cut(wire, at)) {
            if (isClient) tap.fromClient(piece);
            else tap.fromServer(piece);
          }
        }
        tap.end("aborted");
        const count = calls.length;
        tap.end("aborted");
        expect(calls.length).toBe(count);
        expect(count).toBeLessThanOrEqual(sent.length + 2);
        for (const { response } of calls) {
          expect(response.source === "none").toBe(response.usage === null);
          for (const value of [response.usage?.input, response.usage?.output]) expect(value == null || value >= 0).toBe(true);
        }
      }),
      { runs: 500 },
    );
  });
});
