import { UNKNOWN_USAGE, type Usage } from "../schema/usage.ts";
import { modelOutput } from "./model-output.ts";

/** What of a request decides how much it may use. */
export type EstimatedRequest = {
  readonly operation: string;
  readonly model: string | null;
  /** bytes of the body, decompressed */
  readonly bodyBytes: number;
  /** tokens that the provider is known to put before the body */
  readonly contextTokens?: number;
  readonly maxOutputTokens: number | null;
  /** answers asked for, `n` */
  readonly choices: number | null;
};

export type Tokens = { readonly input: number; readonly output: number };

/** Fewer bytes make a token only in texts that are rare: English has four, code three, Chinese three in UTF-8. */
const BYTES_PER_TOKEN = 3;
const DEFAULT_OUTPUT = 16_000;
const MAX_TOKENS = 1_000_000_000;

/** Operations whose answer is no generated text. */
const NO_OUTPUT: ReadonlySet<string> = new Set(["embeddings", "rerank", "moderation", "count_tokens", "ocr"]);

/** The most that a call is expected to use, for the time until it has ended: never a zero for a call that generates. */
export function estimateCall(request: EstimatedRequest): Tokens {
  const input = Math.ceil(request.bodyBytes / BYTES_PER_TOKEN) + Math.max(0, request.contextTokens ?? 0);
  if (NO_OUTPUT.has(request.operation)) return { input: bounded(input), output: 0 };
  const each = request.maxOutputTokens ?? (request.model === null ? undefined : modelOutput(request.model)) ?? DEFAULT_OUTPUT;
  const choices = Math.max(1, request.choices ?? 1);
  return { input: bounded(input), output: bounded(Math.max(0, each) * choices) };
}

/**
 * What a call counts whose provider did not say all of it: what it said, and for the rest the bytes of the answer, but not more than
 * was expected of the call.
 */
export function estimateEnd(expected: Tokens, known: Pick<Usage, "input" | "output"> | null, answerBytes: number): Tokens {
  const read = Math.min(expected.output, Math.ceil(answerBytes / BYTES_PER_TOKEN));
  return { input: known?.input ?? expected.input, output: Math.max(known?.output ?? 0, read) };
}

/** A sandbox writes the request: what it claims must not leave the range of whole numbers. */
function bounded(tokens: number): number {
  return Number.isFinite(tokens) ? Math.min(Math.ceil(tokens), MAX_TOKENS) : MAX_TOKENS;
}

/** A usage of which only the tokens are known. */
export function usageOfTokens({ input, output }: Tokens): Usage {
  return { ...UNKNOWN_USAGE, input, output, total: input + output };
}
