import { randomBytes } from "node:crypto";

export type HelloOptions = {
  readonly serverName?: string;
  /** legacy_version */
  readonly version?: number;
  readonly supportedVersions?: boolean;
  readonly alpn?: readonly string[];
  /** bytes of a padding extension */
  readonly padding?: number;
  readonly ech?: boolean;
  /** payload bytes of each record */
  readonly recordSize?: number;
};

/** A ClientHello as bytes on the wire, in as many records as asked for. */
export function clientHello(options: HelloOptions = {}): Buffer {
  const extensions: Buffer[] = [];
  const extension = (type: number, data: Buffer): void => void extensions.push(Buffer.concat([u16(type), u16(data.length), data]));
  if (options.padding !== undefined) extension(21, Buffer.alloc(options.padding));
  if (options.supportedVersions !== false) extension(43, Buffer.from([4, 3, 4, 3, 3]));
  extension(10, Buffer.concat([u16(2), u16(0x1d)]));
  extension(13, Buffer.concat([u16(4), u16(0x0403), u16(0x0804)]));
  if (options.alpn !== undefined) {
    const list = Buffer.concat(options.alpn.map((name) => Buffer.concat([Buffer.from([name.length]), Buffer.from(name)])));
    extension(16, Buffer.concat([u16(list.length), list]));
  }
  if (options.ech === true) extension(0xfe0d, randomBytes(200));
  if (options.serverName !== undefined) {
    const name = Buffer.from(options.serverName, "latin1");
    extension(0, Buffer.concat([u16(name.length + 3), Buffer.from([0]), u16(name.length), name]));
  }
  const block = Buffer.concat(extensions);
  const body = Buffer.concat([
    u16(options.version ?? 0x0303),
    randomBytes(32),
    Buffer.from([32]),
    randomBytes(32),
    u16(4),
    u16(0x1301),
    u16(0xc02b),
    Buffer.from([1, 0]),
    u16(block.length),
    block,
  ]);
  const message = Buffer.concat([Buffer.from([1, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]), body]);
  const size = options.recordSize ?? 16_384;
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([0x16, 3, 1]), u16(part.length), part);
  }
  return Buffer.concat(records);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
