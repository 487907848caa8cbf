import { AppError, errnoOf, firstFault, messageOf } from "../base/error.ts";

/** The only writer to stdout and stderr of this process. */
export interface Output {
  /** a line, or lines, of the command's result */
  out(text: string): void;
  /** a line for the person, never part of the result */
  note(text: string): void;
  /** bytes of somebody else's output, as they are */
  raw(stdout: string, stderr: string): void;
  json(value: unknown): void;
  /** text that may be long, or never end; resolves when it was taken, so that a slow reader holds up only that */
  stream(text: string): Promise<void>;
  /** `error[CODE]: …` and, when there is one, `hint: …` */
  fail(error: unknown): void;
  /** resolves when all of it was taken; with the error when it could not be, unless its reader had enough */
  flush(): Promise<Error | undefined>;
  /** aborted when stdout takes nothing any more: its reader has gone, or its disk is full */
  readonly unread: AbortSignal;
  readonly isTerminal: boolean;
  /** characters of a line; infinite where stdout is no terminal: what reads it there wants one line for one thing */
  readonly width: number;
  readonly color: boolean;
}

export function createOutput(options: { readonly color: boolean }): Output {
  const color = options.color;
  let broken: Error | undefined;
  const unread = new AbortController();
  const onError = (error: Error): void => {
    broken ??= error;
    unread.abort();
  };
  // an error of a stream comes as an event also when nobody waits; `agentkernel ls | head -1` is none
  process.stdout.on("error", onError);
  const paint = (code: string, text: string): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
  return {
    out: (text) => void process.stdout.write(`${text}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
    raw: (stdout, stderr) => {
      process.stdout.write(stdout);
      process.stderr.write(stderr);
    },
    json: (value) => void process.stdout.write(`${jsonText(value, 2)}\n`),
    stream: (text) =>
      new Promise((resolve, reject) => {
        process.stdout.write(text, (error) => {
          if (error == null) return resolve();
          onError(error);
          reject(error);
        });
      }),
    fail: (thrown) => {
      const error = firstFault(thrown);
      const code = error instanceof AppError ? error.code : "INTERNAL";
      process.stderr.write(`${paint("31", `error[${code}]`)}: ${printable(messageOf(error))}\n`);
      if (error instanceof AppError && error.hint !== undefined) process.stderr.write(`hint: ${printable(error.hint)}\n`);
    },
    flush: async () => {
      await Promise.all([process.stdout, process.stderr].map(taken));
      return broken !== undefined && errnoOf(broken) !== "EPIPE" ? broken : undefined;
    },
    unread: unread.signal,
    isTerminal: process.stdout.isTTY === true,
    width: process.stdout.isTTY === true ? process.stdout.columns : Number.POSITIVE_INFINITY,
    color,
  };
}

/** A pipe takes 64 KiB; the rest waits in this process for its reader, and an exit would drop it. */
function taken(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once("close", resolve);
    stream.write("", () => resolve());
  });
}

/**
 * Text of unknown origin as one line for a terminal: control characters, line breaks among them, are shown, not sent, and so are those
 * that turn the order of what follows (Unicode's bidirectional controls), with which one name looks like another.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** JSON in which the control characters that JSON itself lets pass are escaped too, as by `printable`; it reads back as the same value. */
export function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, null, indent);
  return text.replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** 1234567 as `1,234,567`; unknown as `–`, never as zero. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US");
}

/** US dollars with as many places as small sums need. */
export function dollars(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return `$${value.toFixed(value !== 0 && value < 0.01 ? 6 : 4)}`;
}
