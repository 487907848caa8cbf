import { z } from "zod";
import { AppError } from "../base/error.ts";
import { detachRequest, execSignal, terminalSize } from "./api.ts";

/** The frames of `GET /sandboxes/{name}/exec/ws`, described in docs/reference/exec-websocket.md. One binary message is one frame. */

export const EXEC_SUBPROTOCOL = "agentkernel.exec.v1";
/** bytes that may be under way on each stream without a further grant */
export const EXEC_WINDOW = 1024 * 1024;
/** data bytes of one frame */
export const EXEC_MAX_DATA = 64 * 1024;
/** bytes of one message: data, or a start frame with a long command and environment */
export const EXEC_MAX_MESSAGE = 1024 * 1024;

const STREAMS = ["stdin", "stdout", "stderr"] as const;
export type ExecStream = (typeof STREAMS)[number];

const startFrame = detachRequest.extend({ tty: terminalSize.optional() });
export type ExecStart = z.infer<typeof startFrame>;

const startedFrame = z.strictObject({ id: z.string(), pid: z.int() });
const signalFrame = z.strictObject({ signal: execSignal });
const exitFrame = z.strictObject({ code: z.int().nullable(), signal: z.string().nullable(), reason: z.string().optional() });
const errorFrame = z.strictObject({ code: z.string(), error: z.string(), hint: z.string().optional(), request_id: z.string() });

const DATA = 0x01;
const EOF = 0x02;
const WINDOW = 0x03;

const JSON_FRAMES = {
  start: { tag: 0x10, schema: startFrame },
  started: { tag: 0x11, schema: startedFrame },
  resize: { tag: 0x12, schema: terminalSize },
  signal: { tag: 0x13, schema: signalFrame },
  exit: { tag: 0x14, schema: exitFrame },
  error: { tag: 0x15, schema: errorFrame },
} as const;
type JsonKind = keyof typeof JSON_FRAMES;
type JsonFrame = { [K in JsonKind]: { readonly kind: K; readonly value: z.infer<(typeof JSON_FRAMES)[K]["schema"]> } }[JsonKind];

export type ExecFrame =
  | { readonly kind: "data"; readonly stream: ExecStream; readonly bytes: Uint8Array }
  | { readonly kind: "eof"; readonly stream: ExecStream }
  | { readonly kind: "window"; readonly stream: ExecStream; readonly bytes: number }
  | JsonFrame;

export function encodeFrame(frame: ExecFrame): Buffer {
  switch (frame.kind) {
    case "data": {
      const out = Buffer.allocUnsafe(2 + frame.bytes.length);
      out[0] = DATA;
      out[1] = STREAMS.indexOf(frame.stream);
      out.set(frame.bytes, 2);
      return out;
    }
    case "eof":
      return Buffer.from([EOF, STREAMS.indexOf(frame.stream)]);
    case "window": {
      const out = Buffer.alloc(6);
      out[0] = WINDOW;
      out[1] = STREAMS.indexOf(frame.stream);
      out.writeUInt32BE(frame.bytes, 2);
      return out;
    }
    default:
      return Buffer.concat([Buffer.from([JSON_FRAMES[frame.kind].tag]), Buffer.from(JSON.stringify(frame.value), "utf8")]);
  }
}

/** @throws AppError VALIDATION for anything that is not a frame; the bytes of a data frame are a view, not a copy */
export function decodeFrame(message: Buffer): ExecFrame {
  const tag = message[0];
  if (tag === DATA || tag === EOF || tag === WINDOW) {
    const stream = STREAMS[message[1] ?? 0xff];
    if (stream === undefined) throw broken("it names no stream");
    if (tag === DATA) {
      if (message.length - 2 > EXEC_MAX_DATA) throw broken(`more than ${EXEC_MAX_DATA} bytes of data`);
      return { kind: "data", stream, bytes: message.subarray(2) };
    }
    if (tag === EOF && message.length === 2) return { kind: "eof", stream };
    if (tag === WINDOW && message.length === 6) return { kind: "window", stream, bytes: message.readUInt32BE(2) };
    throw broken("wrong length");
  }
  for (const kind of Object.keys(JSON_FRAMES) as JsonKind[]) {
    if (JSON_FRAMES[kind].tag === tag) return decodeJson(kind, message.subarray(1));
  }
  throw broken(tag === undefined ? "it is empty" : `unknown type 0x${tag.toString(16)}`);
}

function decodeJson(kind: JsonKind, bytes: Buffer): JsonFrame {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw broken(`${kind} holds no JSON`, cause);
  }
  const parsed = JSON_FRAMES[kind].schema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw broken(`${kind}: ${[...(issue?.path ?? [])].join(".") || "body"}: ${issue?.message ?? "not valid"}`);
  }
  // kind and schema come from one entry of the table
  return { kind, value: parsed.data } as JsonFrame;
}

function broken(why: string, cause?: unknown): AppError {
  return new AppError("VALIDATION", `not a frame of ${EXEC_SUBPROTOCOL}: ${why}`, { cause });
}
