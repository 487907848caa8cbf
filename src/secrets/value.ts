import { AppError } from "../base/error.ts";

/** Longest value that is kept or put into a header. */
export const MAX_SECRET_BYTES = 64 * 1024;

/**
 * Refuses what no header can carry: nothing, control characters (CR and LF would end the header and begin another), characters
 * outside ASCII, white space at an end, which HTTP drops. `what` names the secret; the value is never repeated.
 *
 * @throws VALIDATION
 */
export function checkSecretValue(value: string, what: string): void {
  if (value === "") throw bad(what, "is empty", "check where it comes from");
  if (Buffer.byteLength(value) > MAX_SECRET_BYTES) throw bad(what, "is longer than 64 KiB", "a key or token is expected, not a file");
  if (/[\r\n]/.test(value)) throw bad(what, "has a line break", 'a key or token is one line; without its newline: printf %s "$KEY"');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(value)) throw bad(what, "has a control character", "check where it comes from");
  if (!/^[\u0020-\u007e]*$/.test(value)) throw bad(what, "has a character outside ASCII", "headers carry ASCII only");
  if (value.trim() !== value) throw bad(what, "begins or ends with a space", "remove it");
}

function bad(what: string, message: string, hint: string): AppError {
  return new AppError("VALIDATION", `the value of ${what} ${message}`, { hint });
}
