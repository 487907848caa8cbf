import type { FileOwner } from "../../sandbox/backend.ts";

/** What a descriptor of a started process is opened from. */
export type Opened =
  | { readonly kind: "content"; readonly content: string | Buffer }
  | { readonly kind: "reading" | "writing"; readonly path: string }
  /** whatever stands at the path by then must be the file that was judged */
  | { readonly kind: "held"; readonly path: string; readonly device: bigint; readonly inode: bigint };

export type LaunchRequest = {
  readonly argv: readonly string[];
  /** host uid and gid to become; undefined: as we are */
  readonly owner: FileOwner | undefined;
  /** opened in this order from descriptor {@link FIRST_OPENED} on, before the uid changes */
  readonly opened: readonly Opened[];
};

/** guest/launcher.h, FIRST_OPENED: those before it are the launcher's own */
export const FIRST_OPENED = 5;

const HEADER_BYTES = 9;
const AS_WE_ARE = 0xffff_ffff;
const KINDS = { content: "c", reading: "r", writing: "w", held: "h" } as const;

/** Frames as guest/launcher-request.c reads them: length, type, number of the sandbox, payload; little-endian. */
export function encodeStart(id: number, request: LaunchRequest): Buffer {
  const { argv, owner, opened } = request;
  return frame("S", id, [
    u32(owner?.uid ?? AS_WE_ARE),
    u32(owner?.gid ?? AS_WE_ARE),
    u16(argv.length),
    ...argv.map(text),
    u16(opened.length),
    ...opened.flatMap(encodeOpened),
  ]);
}

/** The word to start. */
export function encodeGo(id: number): Buffer {
  return frame("G", id, []);
}

/** @param number of the signal */
export function encodeSignal(id: number, number: number): Buffer {
  return frame("K", id, [Buffer.of(number)]);
}

function encodeOpened(opened: Opened): readonly Buffer[] {
  const kind = Buffer.from(KINDS[opened.kind]);
  if (opened.kind === "content") {
    const content = Buffer.from(opened.content as string);
    return [kind, u32(content.length), content];
  }
  if (opened.kind === "held") return [kind, u64(opened.device), u64(opened.inode), text(opened.path)];
  return [kind, text(opened.path)];
}

function frame(type: string, id: number, payload: readonly Buffer[]): Buffer {
  const body = Buffer.concat(payload);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(body.length, 0);
  header.write(type, 4, "latin1");
  header.writeUInt32LE(id, 5);
  return Buffer.concat([header, body]);
}

/** Nobody can give these a NUL byte: paths and options were looked at before. */
function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
