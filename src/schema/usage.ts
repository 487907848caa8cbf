/** Normalised usage (llm-wire-formats.md §1.1). Every number is null when unknown. */
export type Usage = {
  /** includes cache reads and writes */
  readonly input: number | null;
  /** includes reasoning */
  readonly output: number | null;
  /** provider's own figure when sent, else the sum when both are known */
  readonly total: number | null;
  readonly cacheRead: number | null;
  readonly cacheWrite: number | null;
  /** part of `cacheWrite` kept for 1 h, where the provider tells */
  readonly cacheWrite1h: number | null;
  /** parts of `cacheWrite` by how long they are kept (`30m`, `12h`), where the provider tells in other terms than one hour */
  readonly cacheWriteTtl?: Readonly<Record<string, number>>;
  readonly reasoning: number | null;
  readonly inputAudio: number | null;
  readonly outputAudio: number | null;
  readonly billedInput: number | null;
  readonly billedOutput: number | null;
  /** search units, images, seconds … by unit name */
  readonly units: Readonly<Record<string, number>>;
  /** money as the provider states it */
  readonly costReportedUsd: number | null;
  /** subsets of input and output, where the provider tells */
  readonly inputImage?: number;
  readonly outputImage?: number;
  /** part of `cacheRead` that was sound, where the provider tells */
  readonly cacheReadAudio?: number;
  /** how the provider says it served the call, where that changes the price (Anthropic's fast mode and data residency) */
  readonly speed?: string;
  readonly geo?: string;
  /** the same tokens by the models that used them, where several served one call (Groq's compound systems); these are what is priced */
  readonly parts?: readonly ExtraUsage[];
  /** tokens of the same call that another model used and that stand outside the figures above (Anthropic's advisor) */
  readonly extra?: readonly ExtraUsage[];
};

/** Nothing is known. */
export const UNKNOWN_USAGE: Usage = {
  input: null,
  output: null,
  total: null,
  cacheRead: null,
  cacheWrite: null,
  cacheWrite1h: null,
  reasoning: null,
  inputAudio: null,
  outputAudio: null,
  billedInput: null,
  billedOutput: null,
  units: {},
  costReportedUsd: null,
};

/** What another model used within a call. */
export type ExtraUsage = {
  readonly model: string;
  /** includes cache reads and writes */
  readonly input: number | null;
  readonly cacheRead: number | null;
  readonly cacheWrite: number | null;
  readonly output: number | null;
};
