/** DNS messages (RFC 1035 §4), as much as a server needs that answers one question and never asks. */
export const TYPE = { A: 1, AAAA: 28, OPT: 41, SVCB: 64, HTTPS: 65 } as const;
export const RCODE = { ok: 0, formatError: 1, notImplemented: 4, refused: 5 } as const;

export type DnsQuery = {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  /** labels as sent, joined by dots, latin1; `.` for the root */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** the question section's bytes, to be repeated in the answer */
  readonly question: Uint8Array;
  /** an OPT record is there (RFC 6891): the answer must carry one too */
  readonly edns: boolean;
};

export type DnsResult =
  | { readonly kind: "query"; readonly query: DnsQuery }
  /** not even a header, or itself a response: answering could make two servers talk for ever */
  | { readonly kind: "drop" }
  | { readonly kind: "malformed"; readonly id: number };

/** Reads one message of any bytes; work is bounded by its first question. Never throws. */
export function readQuery(bytes: Uint8Array): DnsResult {
  if (bytes.length < 12) return { kind: "drop" };
  const id = u16(bytes, 0);
  const flags = u16(bytes, 2);
  if ((flags & 0x8000) !== 0) return { kind: "drop" };
  const malformed: DnsResult = { kind: "malformed", id };
  if (u16(bytes, 4) !== 1 || u16(bytes, 6) !== 0 || u16(bytes, 8) !== 0 || u16(bytes, 10) > 2) return malformed;
  const labels: string[] = [];
  let at = 12;
  let length = 0;
  for (;;) {
    const size = bytes[at];
    if (size === undefined) return malformed;
    at += 1;
    if (size === 0) break;
    // a pointer has nothing to point to before the first name, and 64–191 are reserved
    if (size > 63 || at + size > bytes.length) return malformed;
    length += size + 1;
    if (length > 254) return malformed;
    labels.push(Buffer.from(bytes.buffer, bytes.byteOffset + at, size).toString("latin1"));
    at += size;
  }
  if (at + 4 > bytes.length) return malformed;
  const type = u16(bytes, at);
  const query: DnsQuery = {
    id,
    opcode: (flags >> 11) & 0x0f,
    recursionDesired: (flags & 0x0100) !== 0,
    // a dot inside a label would read as two labels
    name: labels.length === 0 ? "." : labels.map((label) => label.replaceAll(".", "\\.")).join("."),
    type,
    class: u16(bytes, at + 2),
    question: bytes.subarray(12, at + 4),
    edns: hasOpt(bytes, at + 4, u16(bytes, 10)),
  };
  return { kind: "query", query };
}

function hasOpt(bytes: Uint8Array, start: number, count: number): boolean {
  // OPT has the root as its name, so it is found without decompression; anything else in the section is skipped over
  return count > 0 && bytes[start] === 0 && start + 11 <= bytes.length && u16(bytes, start + 1) === TYPE.OPT;
}

export type DnsAnswer = { readonly rcode: number; readonly address?: string; readonly ttlSeconds?: number };

/** The answer to a query, as bytes. */
export function writeAnswer(query: DnsQuery, answer: DnsAnswer): Buffer {
  const records = answer.address === undefined ? 0 : 1;
  const out = Buffer.alloc(12 + query.question.length + records * 16 + (query.edns ? 11 : 0));
  out.writeUInt16BE(query.id, 0);
  // QR, AA, RD as asked, RA
  out.writeUInt16BE(0x8480 | (query.opcode << 11) | (query.recursionDesired ? 0x0100 : 0) | answer.rcode, 2);
  out.writeUInt16BE(1, 4);
  out.writeUInt16BE(records, 6);
  out.writeUInt16BE(query.edns ? 1 : 0, 10);
  out.set(query.question, 12);
  let at = 12 + query.question.length;
  if (answer.address !== undefined) {
    out.writeUInt16BE(0xc00c, at);
    out.writeUInt16BE(TYPE.A, at + 2);
    out.writeUInt16BE(1, at + 4);
    out.writeUInt32BE(answer.ttlSeconds ?? 0, at + 6);
    out.writeUInt16BE(4, at + 10);
    out.set(answer.address.split(".").map(Number), at + 12);
    at += 16;
  }
  if (query.edns) {
    out.writeUInt16BE(TYPE.OPT, at + 1);
    out.writeUInt16BE(1232, at + 3);
  }
  return out;
}

/** The answer to a message that could not be read. */
export function writeFormatError(id: number): Buffer {
  const out = Buffer.alloc(12);
  out.writeUInt16BE(id, 0);
  out.writeUInt16BE(0x8080 | RCODE.formatError, 2);
  return out;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
