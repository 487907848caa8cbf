import { constants, createDeflateRaw, type DeflateRaw } from "node:zlib";

export type FrameOptions = {
  readonly opcode?: number;
  readonly isFinal?: boolean;
  readonly isCompressed?: boolean;
  readonly mask?: Buffer;
};

/** One WebSocket frame (RFC 6455 §5.2). */
export function frame(payload: Buffer, { opcode = 1, isFinal = true, isCompressed = false, mask }: FrameOptions = {}): Buffer {
  const first = (isFinal ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | opcode;
  const masked = mask === undefined ? 0 : 0x80;
  const length =
    payload.length < 126
      ? Buffer.from([first, masked | payload.length])
      : payload.length < 65_536
        ? Buffer.from([first, masked | 126, payload.length >> 8, payload.length & 0xff])
        : Buffer.concat([Buffer.from([first, masked | 127]), longLength(payload.length)]);
  if (mask === undefined) return Buffer.concat([length, payload]);
  return Buffer.concat([length, mask, payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))]);
}

function longLength(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

export type MessageStyle = {
  /** data frames that one message is cut into, a ping between each two */
  readonly fragments: number;
  readonly deflate: MessageDeflater | null;
  readonly mask?: Buffer;
};

/** One message as an endpoint may send it. */
export async function message(payload: Buffer, opcode: number, style: MessageStyle): Promise<Buffer> {
  const body = style.deflate === null ? payload : await style.deflate.message(payload);
  const masked = style.mask === undefined ? {} : { mask: style.mask };
  const size = Math.max(1, Math.ceil(body.length / style.fragments));
  const out: Buffer[] = [];
  for (let at = 0; at === 0 || at < body.length; at += size) {
    const isFirst = at === 0;
    if (!isFirst) out.push(frame(Buffer.from("ping"), { opcode: 9, ...masked }));
    const isCompressed = isFirst && style.deflate !== null;
    out.push(
      frame(body.subarray(at, at + size), { opcode: isFirst ? opcode : 0, isFinal: at + size >= body.length, isCompressed, ...masked }),
    );
  }
  return Buffer.concat(out);
}

/** One direction of permessage-deflate (RFC 7692), with or without context takeover. */
export class MessageDeflater {
  readonly #takesOver: boolean;
  #stream: DeflateRaw | null = null;

  constructor(takesOver: boolean) {
    this.#takesOver = takesOver;
  }

  async message(payload: Buffer): Promise<Buffer> {
    this.#stream ??= createDeflateRaw({ flush: constants.Z_SYNC_FLUSH });
    const stream = this.#stream;
    if (!this.#takesOver) this.#stream = null;
    const parts: Buffer[] = [];
    const collect = (part: Buffer): number => parts.push(part);
    stream.on("data", collect);
    await new Promise<void>((resolve, reject) => {
      stream.once("error", reject);
      stream.write(payload, () => stream.flush(constants.Z_SYNC_FLUSH, () => resolve()));
    });
    stream.off("data", collect);
    if (!this.#takesOver) stream.destroy();
    const whole = Buffer.concat(parts);
    return whole.subarray(-4).equals(Buffer.from([0, 0, 0xff, 0xff])) ? whole.subarray(0, -4) : whole;
  }
}
