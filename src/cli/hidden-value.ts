import { AppError } from "../base/error.ts";
import type { Cli } from "./cli.ts";

const MAX_BYTES = 64 * 1024;

/**
 * A secret from stdin, or from a prompt that shows nothing; never from argv. One newline at its end is the shell's, not the secret's.
 * @throws VALIDATION when there is none, TOO_LARGE
 */
export async function readHidden(cli: Cli, what: string, hint: string): Promise<string> {
  const value = process.stdin.isTTY ? await prompted(cli, what) : await fromStdin();
  if (value === "") throw new AppError("VALIDATION", `${what} is empty`, { hint });
  return value;
}

async function fromStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES)
      throw new AppError("TOO_LARGE", "what stdin holds is longer than 64 KiB", { hint: "a key or token is expected, not a file" });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

async function prompted(cli: Cli, what: string): Promise<string> {
  const { password, isCancel } = await import("@clack/prompts");
  const end = new AbortController();
  // Ctrl-D ends the prompt's input without an answer, and it would wait for ever
  const onKey = (_: string | undefined, key: { readonly name?: string; readonly ctrl?: boolean }): void => {
    if (key.ctrl === true && key.name === "d") end.abort();
  };
  process.stdin.on("keypress", onKey);
  try {
    // stdout may be a file, and is the result's
    const answer = await password({ message: what, output: process.stderr, signal: end.signal });
    if (isCancel(answer)) throw new AppError("VALIDATION", "nothing was stored");
    cli.output.note("");
    return answer;
  } finally {
    process.stdin.off("keypress", onKey);
  }
}
