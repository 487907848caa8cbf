import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";

/** bytes kept of each stream; what comes beyond is read and dropped, so that the command is not held up */
export const OUTPUT_CAP_BYTES = 16 * 1024 * 1024;

export type CollectedOutput = {
  readonly output: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly truncated: boolean;
};

type StreamName = "stdout" | "stderr";
type Source = { readonly stdout: Readable; readonly stderr: Readable };

/** Decodes the chunks of one stream: a character cut by a chunk's border comes whole with the next, a broken one as U+FFFD. */
export function chunkDecoder(): (chunk: Uint8Array | null) => string {
  // with ignoreBOM the mark stays: it is part of the command's output
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return (chunk) => (chunk === null ? decoder.decode() : decoder.decode(chunk, { stream: true }));
}

/**
 * Reads both streams of a command to their ends. Each keeps at most `capBytes`. A stream that breaks has ended: how the command
 * ended says its `exited`.
 */
export async function collectOutput(source: Source, capBytes: number = OUTPUT_CAP_BYTES): Promise<CollectedOutput> {
  const both: string[] = [];
  const texts: Record<StreamName, string[]> = { stdout: [], stderr: [] };
  let truncated = false;
  // listeners, since they run in the order of arrival over both streams; two iterators would take turns of their own
  const read = (name: StreamName): Promise<void> => {
    const decode = chunkDecoder();
    const keep = (text: string): void => {
      if (text === "") return;
      both.push(text);
      texts[name].push(text);
    };
    let room = capBytes;
    source[name].on("data", (chunk: Buffer) => {
      if (chunk.length > room) truncated = true;
      if (room > 0) keep(decode(chunk.subarray(0, room)));
      room -= Math.min(room, chunk.length);
    });
    return ended(source[name]).then(() => keep(decode(null)));
  };
  await Promise.all([read("stdout"), read("stderr")]);
  return { output: both.join(""), stdout: texts.stdout.join(""), stderr: texts.stderr.join(""), truncated };
}

/** Settles when nothing more will come, whether the stream ended or broke. */
function ended(stream: Readable): Promise<void> {
  return finished(stream, { writable: false }).catch((error: unknown) => ignoreBreak(error));
}

/** Chunks of a stream, to its end or its break. */
export async function* chunksOf(stream: Readable): AsyncGenerator<Buffer> {
  try {
    yield* stream as AsyncIterable<Buffer>;
  } catch (error) {
    ignoreBreak(error);
  }
}

/** A broken stream of a command shows in how the command ended; anything that is no error of the stream is not swallowed. */
function ignoreBreak(error: unknown): void {
  if (!(error instanceof Error)) throw error;
}
