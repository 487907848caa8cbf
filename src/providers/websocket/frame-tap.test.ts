import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { everyN } from "../../../test/support/vectors.ts";
import {
  loadSocketVectors,
  MASK,
  SOCKET_STYLES,
  socketWriter,
  type SocketStyle,
  type SocketVector,
} from "../../../test/support/socket-vectors.ts";
import { frame, message, MessageDeflater } from "../../../test/support/websocket-frames.ts";
import { createProviderTable } from "../table.ts";
import type { Recognition } from "../types.ts";
import { createFrameTap, type FrameTap } from "./frame-tap.ts";
import type { SocketCall } from "./session.ts";

const VECTORS_DIR = join(import.meta.dirname, "..", "..", "..", "test", "vectors");
const VECTORS = loadSocketVectors();
const table = createProviderTable({ customDomains: [] });

function recognitionOf({ host, path }: Pick<SocketVector, "host" | "path">): Recognition {
  const [name = "", query = ""] = path.split("?");
  const recognition = table.recognize({ host, method: "GET", path: name, query, upgrade: true });
  if (recognition === undefined) throw new Error(`${host}${path} was not recognised`);
  return recognition;
}

const CUTS: Readonly<Record<string, (bytes: Buffer) => readonly Buffer[]>> = {
  whole: (bytes) => [bytes],
  "byte by byte": (bytes) => everyN(bytes, 1),
  "in sevens": (bytes) => everyN(bytes, 7),
};

async function run(vector: SocketVector, style: SocketStyle, cut: (bytes: Buffer) => readonly Buffer[]): Promise<readonly SocketCall[]> {
  const calls: SocketCall[] = [];
  const extensions = style.deflate === "none" ? undefined : "permessage-deflate; server_max_window_bits=15";
  const tap = createFrameTap(recognitionOf(vector), { extensions, onCall: (call) => calls.push(call) });
  if (tap === null) throw new Error("no tap");
  const writer = socketWriter(style);
  for (const one of vector.frames) {
    const [kind, text] = Object.entries(one)[0] ?? ["", ""];
    const fromClient = kind === "client";
    const bytes = fromClient ? await writer.client(text) : await writer.server(text, kind === "server_binary" ? 2 : 1);
    const before = Buffer.from(bytes);
    for (const piece of cut(bytes)) {
      if (fromClient) tap.fromClient(piece);
      else tap.fromServer(piece);
    }
    expect(bytes.equals(before), "the tap changed a byte").toBe(true);
  }
  tap.fromServer(frame(Buffer.from([0x03, 0xe8]), { opcode: 8 }));
  tap.end(vector.ended);
  return calls;
}

function inWordsOfVectors({ operation, request, response }: SocketCall): Record<string, unknown> {
  const { usage } = response;
  return {
    operation,
    model: request.model,
    max_output_tokens: request.maxOutputTokens,
    response_model: response.responseModel,
    response_id: response.responseId,
    input: usage?.input ?? null,
    output: usage?.output ?? null,
    total: usage?.total ?? null,
    cache_read: usage?.cacheRead ?? null,
    cache_write: usage?.cacheWrite ?? null,
    reasoning: usage?.reasoning ?? null,
    input_audio: usage?.inputAudio ?? null,
    output_audio: usage?.outputAudio ?? null,
    units: usage?.units ?? {},
    source: response.source,
    missing: response.missing,
    outcome: response.outcome,
  };
}

it("found its vectors", () => {
  expect(VECTORS.length).toBe(10);
});

describe.each(VECTORS.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
  for (const [style, how] of Object.entries(SOCKET_STYLES)) {
    it(`V27, V28: reads every call, ${style}`, async () => {
      for (const [name, cut] of Object.entries(CUTS)) {
        const calls = await run(vector, how, cut);
        const wanted = vector.expect.calls;
        const seen = calls.map((call, index) => {
          const all = inWordsOfVectors(call);
          return Object.fromEntries(Object.keys(wanted[index] ?? all).map((key) => [key, all[key]]));
        });
        expect(seen, name).toEqual(wanted);
        expect(recognitionOf(vector).provider).toBe(vector.provider);
      }
    });
  }
});

const RESPONSES = { host: "api.openai.com", path: "/v1/responses" };
const CREATE = Buffer.from('{"type":"response.create","model":"m"}');
const DONE = Buffer.from(
  '{"type":"response.completed","response":{"id":"r","status":"completed","usage":{"input_tokens":1,"output_tokens":2}}}',
);

function open(extensions?: string): { readonly tap: FrameTap; readonly calls: SocketCall[] } {
  const calls: SocketCall[] = [];
  const tap = createFrameTap(recognitionOf(RESPONSES), { extensions, onCall: (call) => calls.push(call) });
  if (tap === null) throw new Error("no tap");
  return { tap, calls };
}

describe("the frame tap", () => {
  it("reads a message of 70 kB with a 64 bit length, and one of nothing", () => {
    const { tap, calls } = open();
    tap.fromClient(frame(Buffer.from(`{"input":"${"x".repeat(70_000)}","type":"response.create","model":"m"}`), { mask: MASK }));
    tap.fromServer(frame(Buffer.alloc(0)));
    tap.fromServer(frame(DONE));
    expect(calls).toMatchObject([{ request: { model: "m" }, response: { usage: { input: 1, output: 2 } } }]);
  });

  it("reports each call when it is over, not when the socket is", () => {
    const { tap, calls } = open();
    tap.fromClient(frame(CREATE, { mask: MASK }));
    expect(calls).toEqual([]);
    tap.fromServer(frame(DONE));
    expect(calls).toHaveLength(1);
    tap.end("complete");
    tap.end("error");
    tap.fromServer(frame(DONE));
    expect(calls).toHaveLength(1);
  });

  it.each([
    ["compressed though nobody agreed on it", undefined, frame(DONE, { isCompressed: true }), "ws_compressed"],
    ["an extension that is unknown", "x-crypt", frame(DONE, { isCompressed: true }), "ws_compressed"],
    ["no deflate at all", "permessage-deflate", frame(Buffer.from([0xff, 0xff, 0xff]), { isCompressed: true }), "ws_compressed"],
    ["reserved bits", undefined, Buffer.from([0xb1, 0x01, 0x7b]), "unparsable"],
    ["an opcode of nobody", undefined, Buffer.from([0x83, 0x00]), "unparsable"],
    ["a control frame that is too long", undefined, Buffer.from([0x89, 0x7e, 0x01, 0x00]), "unparsable"],
    ["a continuation of nothing", undefined, Buffer.from([0x80, 0x00]), "unparsable"],
    ["a message inside of a message", undefined, Buffer.from([0x01, 0x00, 0x81, 0x00]), "unparsable"],
    ["a length past all lengths", undefined, Buffer.from([0x81, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0]), "unparsable"],
  ])("says that it could not read: %s", (_name, extensions, bytes, missing) => {
    const { tap, calls } = open(extensions);
    tap.fromServer(bytes);
    tap.fromServer(frame(DONE));
    tap.end("complete");
    expect(calls.at(-1)).toMatchObject({ response: { usage: null, source: "none", missing } });
  });

  it("stops at a bomb", async () => {
    const { tap, calls } = open("permessage-deflate");
    const deflate = new MessageDeflater(true);
    for (let i = 0; i < 5; i += 1) {
      tap.fromServer(await message(Buffer.from(JSON.stringify({ x: "a".repeat(8 * 1024 * 1024) })), 1, { fragments: 1, deflate }));
    }
    tap.fromServer(await message(Buffer.alloc(17 * 1024 * 1024, "a"), 1, { fragments: 1, deflate }));
    tap.end("complete");
    expect(calls).toMatchObject([{ response: { missing: "tap_overflow" } }]);
  });

  it("holds nothing of a 64 MB message", () => {
    const { tap } = open();
    const piece = Buffer.alloc(1 << 20, "A");
    tap.fromServer(Buffer.from([0x81, 0x7f, 0, 0, 0, 0, 4, 0, 0, 0]));
    tap.fromServer(Buffer.from('{"delta":"'));
    const before = process.memoryUsage();
    for (let i = 0; i < 63; i += 1) tap.fromServer(piece);
    const after = process.memoryUsage();
    expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(8 << 20);
  });

  it("reads the realtime sample as the price package does", () => {
    const sample = readFileSync(join(VECTORS_DIR, "samples.jsonl"), "utf8")
      .split("\n")
      .find((line) => line.includes('"openai-realtime"'));
    const { response, expect: wanted } = JSON.parse(sample ?? "") as { response: unknown; expect: Record<string, number> };
    const calls: SocketCall[] = [];
    const tap = createFrameTap(recognitionOf({ host: "api.openai.com", path: "/v1/realtime?model=x" }), {
      onCall: (call) => calls.push(call),
    });
    tap?.fromServer(frame(Buffer.from(JSON.stringify(response))));
    expect(calls[0]?.response.usage).toMatchObject({ input: wanted["input"], cacheRead: wanted["cache_read"], output: wanted["output"] });
  });

  it("is not there for what has no calls in its frames", () => {
    expect(createFrameTap({ ...recognitionOf(RESPONSES), shape: "openai-chat" }, { onCall: () => undefined })).toBeNull();
  });
});
