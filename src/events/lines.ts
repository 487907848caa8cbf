import { constants } from "node:fs";
import { open } from "node:fs/promises";

const CHUNK = 1 << 20;
const LONGEST_LINE = 128 * 1024;

/** A power cut may leave whole sectors of zeros where data had not been written yet; JSON never holds a NUL. */
export const ZEROS: Buffer = Buffer.alloc(512);

export type LineAt = {
  /** offset of the line in the file */
  readonly offset: number;
  /** false: the bytes end without a newline, at the end of the file or because no line of ours is so long */
  readonly isWhole: boolean;
};

/** Sees the line `[start, end)`, newline excluded, in a buffer that is reused; may write into its own range. False ends the reading. */
export type LineVisitor = (bytes: Buffer, start: number, end: number, at: LineAt) => boolean;

export type LineRange = {
  readonly from?: number;
  readonly to?: number;
  /** only a few lines are wanted: the chunk in memory is the smallest that holds any line */
  readonly isShort?: boolean;
};

/** Reads `[from, to)` of a file line by line, one chunk in memory. */
export async function forEachLine(path: string, range: LineRange, visit: LineVisitor): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    // a small file needs a small buffer, yet one that holds any line of ours, should the file grow meanwhile
    const buffer = Buffer.allocUnsafeSlow(
      range.isShort === true ? LONGEST_LINE : Math.max(LONGEST_LINE, Math.min(CHUNK, (await handle.stat()).size)),
    );
    const to = range.to ?? Number.MAX_SAFE_INTEGER;
    // file offset of the buffer's first byte, and how many bytes of it are filled
    let base = range.from ?? 0;
    let filled = 0;
    for (;;) {
      const wanted = Math.min(buffer.length - filled, to - base - filled);
      const { bytesRead } = wanted > 0 ? await handle.read(buffer, filled, wanted, base + filled) : { bytesRead: 0 };
      filled += bytesRead;
      const used = visitLines(buffer, filled, base, visit);
      if (used === undefined) return;
      if (bytesRead === 0 || (used === 0 && filled === buffer.length)) {
        if (filled > used && !visit(buffer, used, filled, { offset: base + used, isWhole: false })) return;
        if (bytesRead === 0) return;
        base += filled;
        filled = 0;
      } else {
        buffer.copyWithin(0, used, filled);
        base += used;
        filled -= used;
      }
    }
  } finally {
    await handle.close();
  }
}

/** How many bytes were whole lines; undefined when the visitor had enough. */
function visitLines(buffer: Buffer, filled: number, base: number, visit: LineVisitor): number | undefined {
  let start = 0;
  for (;;) {
    const end = buffer.indexOf(0x0a, start);
    if (end === -1 || end >= filled) return start;
    if (!visit(buffer, start, end, { offset: base + start, isWhole: true })) return undefined;
    start = end + 1;
  }
}
