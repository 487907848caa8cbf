/** What the gateway needs of a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1). */
export type ClientHello = {
  /** as sent, not yet canonical; null when the extension is missing */
  readonly serverName: string | null;
  readonly alpn: readonly string[];
  /** highest version offered, as on the wire: 0x0303 is TLS 1.2, 0x0304 TLS 1.3 */
  readonly maxVersion: number;
  /** an encrypted_client_hello extension is there, real or GREASE; the outer name counts */
  readonly ech: boolean;
};

export type ClientHelloResult =
  | { readonly kind: "more" }
  | { readonly kind: "invalid"; readonly reason: string }
  | { readonly kind: "hello"; readonly hello: ClientHello };

/** A hello with post-quantum key shares and ECH stays below 4 KB; past this it is an attack on memory. */
export const MAX_CLIENT_HELLO = 16 * 1024;
// the hello may come in one-byte records of 6 bytes each; more records than this is no honest client
const MAX_RECORDS = 256;

const MORE: ClientHelloResult = { kind: "more" };

/** Reads a ClientHello from the first bytes of a connection, which may end anywhere and be split over records. Never throws. */
export function readClientHello(bytes: Uint8Array): ClientHelloResult {
  const fragments: Uint8Array[] = [];
  let have = 0;
  let need = 4;
  let at = 0;
  for (let records = 0; ; records += 1) {
    if (records >= MAX_RECORDS) return invalid("the ClientHello is split into too many records");
    if (bytes.length > at && bytes[at] !== 0x16) return invalid("the record is not a handshake");
    if (bytes.length > at + 1 && bytes[at + 1] !== 0x03) return invalid("the record's version is not TLS");
    if (bytes.length < at + 5) return MORE;
    const length = u16(bytes, at + 3);
    if (length === 0 || length > 16_384) return invalid("the record's length is out of bounds");
    const end = Math.min(at + 5 + length, bytes.length);
    fragments.push(bytes.subarray(at + 5, end));
    have += end - at - 5;
    if (have >= 4 && need === 4) {
      const head = fragments.length === 1 && fragments[0] ? fragments[0] : Buffer.concat(fragments);
      if (head[0] !== 1) return invalid("the first handshake message is not a ClientHello");
      need = 4 + ((head[1] ?? 0) << 16) + u16(head, 2);
      if (need > MAX_CLIENT_HELLO) return invalid(`the ClientHello is longer than ${MAX_CLIENT_HELLO} bytes`);
    }
    if (have >= need && need > 4) return parseBody(Buffer.concat(fragments).subarray(4, need));
    if (end < at + 5 + length) return MORE;
    at = end;
  }
}

function parseBody(body: Uint8Array): ClientHelloResult {
  const reader = new Reader(body);
  let maxVersion = reader.u16();
  reader.skip(32);
  reader.skip(reader.u8());
  reader.skip(reader.u16());
  reader.skip(reader.u8());
  let serverName: string | null = null;
  let alpn: readonly string[] = [];
  let ech = false;
  if (reader.left > 0) {
    const extensions = reader.sub(reader.u16());
    const seen = new Set<number>();
    while (!extensions.failed && extensions.left > 0) {
      const type = extensions.u16();
      const data = extensions.sub(extensions.u16());
      if (seen.has(type)) return invalid("an extension stands twice");
      seen.add(type);
      if (type === 0) serverName = readServerName(data);
      else if (type === 16) alpn = readAlpn(data);
      else if (type === 43) maxVersion = readVersions(data, maxVersion);
      else if (type === 0xfe0d) ech = true;
      if (data.failed) return invalid(`extension ${type} is malformed`);
    }
    if (extensions.failed) return invalid("the extensions are malformed");
  }
  if (reader.failed || reader.left > 0) return invalid("the ClientHello is malformed");
  return { kind: "hello", hello: { serverName, alpn, maxVersion, ech } };
}

function readServerName(data: Reader): string | null {
  const list = data.sub(data.u16());
  const type = list.u8();
  const name = list.bytes(list.u16());
  // RFC 6066: one name of each type; only host_name exists
  if (type !== 0 || list.left > 0 || list.failed || name.length === 0) data.fail();
  return Buffer.from(name).toString("latin1");
}

function readAlpn(data: Reader): readonly string[] {
  const list = data.sub(data.u16());
  const names: string[] = [];
  while (!list.failed && list.left > 0) names.push(Buffer.from(list.bytes(list.u8())).toString("latin1"));
  if (list.failed) data.fail();
  return names;
}

function readVersions(data: Reader, legacy: number): number {
  const list = data.sub(data.u8());
  let max = 0;
  while (!list.failed && list.left > 0) {
    const version = list.u16();
    // GREASE values are 0x?a?a (RFC 8701)
    if ((version & 0x0f0f) !== 0x0a0a && version > max && version < 0x0400) max = version;
  }
  if (list.failed) data.fail();
  return max === 0 ? legacy : max;
}

/** Bounds-checked cursor: reading past the end marks it failed and yields zeros. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  fail(): void {
    this.failed = true;
  }

  bytes(length: number): Uint8Array {
    if (length > this.left) {
      this.failed = true;
      this.#at = this.#bytes.length;
      return new Uint8Array(0);
    }
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }

  skip(length: number): void {
    this.bytes(length);
  }

  u8(): number {
    return this.bytes(1)[0] ?? 0;
  }

  u16(): number {
    return u16(this.bytes(2), 0);
  }

  sub(length: number): Reader {
    const reader = new Reader(this.bytes(length));
    if (this.failed) reader.failed = true;
    return reader;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function invalid(reason: string): ClientHelloResult {
  return { kind: "invalid", reason };
}
