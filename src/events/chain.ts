import { hash } from "node:crypto";

/** One line of a segment, byte for byte: `docs/reference/audit-format.md` shows an example that a test computes. */

/** `prev` of the first line of a chain. */
export const GENESIS = "0".repeat(64);

const DOMAIN = "audit.v1\0";
/** Fixed length keeps the hash input unambiguous: chain 28 bytes, prev 64, and the event begins with a brace. */
const CHAIN = /^chn_[0-9a-z]{24}$/;
const HEADER = /^\{"v":1,"chain":"(chn_[0-9a-z]{24})","seq":([1-9][0-9]{0,14}),"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})","event":/;
const BEFORE_EVENT = '","event":';
const HASH_LENGTH = 64;
const LONGEST_HEADER = 260;

export type Position = {
  /** 0 before the first event */
  readonly seq: number;
  /** hash of the line with that number, {@link GENESIS} before the first */
  readonly hash: string;
};

export const START: Position = { seq: 0, hash: GENESIS };

export type Line = {
  readonly chain: string;
  readonly seq: number;
  readonly prev: string;
  readonly hash: string;
  /** offsets of the raw event bytes in the buffer that was parsed */
  readonly eventStart: number;
  readonly eventEnd: number;
};

export function isChainId(text: string): boolean {
  return CHAIN.test(text);
}

/** SHA-256 over `"audit.v1\0" ‖ chain ‖ decimal seq ‖ hex prev ‖ raw event bytes`, in hex. */
export function hashEvent(chain: string, seq: number, prev: string, event: string): string {
  return hash("sha256", `${DOMAIN}${chain}${seq}${prev}${event}`, "hex");
}

export function formatLine(chain: string, seq: number, prev: string, event: string): { readonly line: string; readonly hash: string } {
  const digest = hashEvent(chain, seq, prev, event);
  return { line: `{"v":1,"chain":"${chain}","seq":${seq},"prev":"${prev}","hash":"${digest}${BEFORE_EVENT}${event}}\n`, hash: digest };
}

/** The line in `[start, end)`, without its newline; undefined when its frame is not exactly ours. The hash is not checked. */
export function parseLine(bytes: Buffer, start: number, end: number): Line | undefined {
  const match = HEADER.exec(bytes.toString("latin1", start, Math.min(end, start + LONGEST_HEADER)));
  if (match === null || bytes[end - 1] !== 0x7d) return undefined;
  const [header, chain = "", seq = "", prev = "", digest = ""] = match;
  const eventStart = start + header.length;
  if (eventStart >= end - 1) return undefined;
  return { chain, seq: Number(seq), prev, hash: digest, eventStart, eventEnd: end - 1 };
}

/** Whether a line's own hash fits its own fields; it says nothing about its place. */
export function isSelfConsistent(bytes: Buffer, line: Line): boolean {
  const input = Buffer.concat([
    Buffer.from(`${DOMAIN}${line.chain}${line.seq}${line.prev}`, "latin1"),
    bytes.subarray(line.eventStart, line.eventEnd),
  ]);
  return hash("sha256", input, "hex") === line.hash;
}

/**
 * The next position when `[start, end)` is exactly the line that must follow `at`, else undefined; the event is not parsed.
 * The hash input is laid out over the header in place, so that each line costs one hash call and no copy; it is restored
 * when the line does not fit.
 */
export function stepOver(bytes: Buffer, start: number, end: number, chain: string, at: Position): Position | undefined {
  const seq = at.seq + 1;
  const head = `{"v":1,"chain":"${chain}","seq":${seq},"prev":"${at.hash}","hash":"`;
  const hashStart = start + head.length;
  const eventStart = hashStart + HASH_LENGTH + BEFORE_EVENT.length;
  if (eventStart >= end - 1 || bytes[end - 1] !== 0x7d) return undefined;
  const header = bytes.toString("latin1", start, eventStart);
  if (!header.startsWith(head) || !header.endsWith(BEFORE_EVENT)) return undefined;
  const digest = header.slice(head.length, head.length + HASH_LENGTH);
  const prefix = `${DOMAIN}${chain}${seq}${at.hash}`;
  const inputStart = eventStart - prefix.length;
  bytes.write(prefix, inputStart, "latin1");
  if (hash("sha256", bytes.subarray(inputStart, end - 1), "hex") === digest) return { seq, hash: digest };
  bytes.write(header, start, "latin1");
  return undefined;
}
