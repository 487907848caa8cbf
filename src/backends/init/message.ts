import { constants } from "node:os";
import { AppError } from "../../base/error.ts";
import type { ExecRequest, ExitStatus } from "../../sandbox/backend.ts";
import { FrameError, MAX_PAYLOAD, PROTOCOL_VERSION, WINDOW } from "./frame.ts";

/** Payloads of the frames: what the host writes is validated before, what init writes after. */

const MAGIC = "AKIN";
const HELLO_BYTES = 12;
const MAX_BUILD_ID = 64;
const EXEC_BYTES = 16;
const NUL = Buffer.alloc(1);

export type Hello = { readonly version: number; readonly window: number; readonly buildId: string };

export function encodeHello(buildId: string): Buffer {
  const head = Buffer.alloc(HELLO_BYTES);
  head.write(MAGIC, 0, "latin1");
  head.writeUInt16BE(PROTOCOL_VERSION, 4);
  head.writeUInt32BE(WINDOW, 8);
  return Buffer.concat([head, Buffer.from(buildId, "latin1").subarray(0, MAX_BUILD_ID)]);
}

/** @throws FrameError when it is no hello at all; another version is a value */
export function parseHello(payload: Buffer): Hello {
  if (payload.length < HELLO_BYTES || payload.length > HELLO_BYTES + MAX_BUILD_ID || payload.toString("latin1", 0, 4) !== MAGIC) {
    throw new FrameError("the first frame is not a hello");
  }
  const buildId = payload.toString("latin1", HELLO_BYTES).replace(/[^\w.-]/g, "?");
  return { version: payload.readUInt16BE(4), window: payload.readUInt32BE(8), buildId };
}

/** @throws AppError VALIDATION for what no program can be given, TOO_LARGE past one frame */
export function encodeExec(request: ExecRequest): Buffer {
  const env = Object.entries(request.env);
  if (request.argv.length === 0 || request.argv[0] === "") throw new AppError("VALIDATION", "an exec needs a command");
  if (request.cwd === "") throw new AppError("VALIDATION", "an exec needs a working directory");
  for (const [name] of env) {
    if (name === "" || name.includes("="))
      throw new AppError("VALIDATION", `not the name of an environment variable: ${JSON.stringify(name)}`);
  }
  const texts = [request.cwd, ...request.argv, ...env.map(([name, value]) => `${name}=${value}`)];
  if (texts.some((text) => text.includes("\0")))
    throw new AppError("VALIDATION", "a command, its directory and environment cannot hold NUL");
  const head = Buffer.alloc(EXEC_BYTES);
  if (request.tty !== undefined) {
    head[0] = 1;
    encodeSize(request.tty).copy(head, 2);
  }
  head.writeUInt32BE(request.argv.length, 8);
  head.writeUInt32BE(env.length, 12);
  const payload = Buffer.concat([head, ...texts.flatMap((text) => [Buffer.from(text), NUL])]);
  if (payload.length > MAX_PAYLOAD) {
    throw new AppError("TOO_LARGE", `command and environment take ${payload.length} bytes, ${MAX_PAYLOAD} are permitted`, {
      hint: "pass large input through a file or standard input",
    });
  }
  return payload;
}

/** @throws AppError VALIDATION outside of 1–65535 */
export function encodeSize(size: { readonly rows: number; readonly cols: number }): Buffer {
  const { rows, cols } = size;
  const fits = (value: number): boolean => Number.isInteger(value) && value >= 1 && value <= 0xffff;
  if (!fits(rows) || !fits(cols)) throw new AppError("VALIDATION", `not the size of a terminal: ${rows} rows, ${cols} columns`);
  const payload = Buffer.alloc(4);
  payload.writeUInt16BE(rows, 0);
  payload.writeUInt16BE(cols, 2);
  return payload;
}

export function encodeU16(value: number): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(value);
  return payload;
}

export function encodeU32(value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return payload;
}

/** @throws FrameError when it is not 4 bytes */
export function parseU32(payload: Buffer): number {
  if (payload.length !== 4) throw new FrameError("a number of 4 bytes was expected");
  return payload.readUInt32BE(0);
}

const SIGNAL_NAMES: ReadonlyMap<number, NodeJS.Signals> = new Map(
  Object.entries(constants.signals)
    .filter(([name]) => name !== "SIGIOT" && name !== "SIGPOLL" && name !== "SIGUNUSED")
    .map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** A real-time signal has no name in Node; it shows as the code a shell would give, 128 + n. */
export function parseExit(payload: Buffer): ExitStatus {
  const [kind, value] = payload;
  if (payload.length !== 2 || kind === undefined || value === undefined || kind > 1) throw new FrameError("an EXIT that says nothing");
  if (kind === 0) return { code: value, signal: null };
  const signal = SIGNAL_NAMES.get(value);
  return signal === undefined ? { code: (128 + value) & 0xff, signal: null } : { code: null, signal };
}
