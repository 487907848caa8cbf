import { UNKNOWN_USAGE, type Usage } from "../../schema/usage.ts";

/** An object of unknown content, as JSON.parse gives it. */
export type Fields = Readonly<Record<string, unknown>>;

export function asFields(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A count: a safe integer ≥ 0; anything else the other side writes is unknown, never zero. */
export function asCount(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** An amount ≥ 0 with fractions: seconds, dollars. */
export function asAmount(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}

const MAX_NAME = 256;

/** A name such as a model or an id: not empty (Azure's first chunk has `"model":""`), not longer than any real one. */
export function asName(value: unknown): string | null {
  return typeof value === "string" && value !== "" && value.length <= MAX_NAME ? value : null;
}

/** First known count among several spellings of one field. */
export function firstCount(...values: readonly unknown[]): number | null {
  for (const value of values) {
    const count = asCount(value);
    if (count !== null) return count;
  }
  return null;
}

/** Sum of the known ones; null when none is. */
export function sumKnown(...values: readonly (number | null)[]): number | null {
  let sum: number | null = null;
  for (const value of values) if (value !== null) sum = (sum ?? 0) + value;
  return sum !== null && Number.isSafeInteger(sum) ? sum : null;
}

/** A usage record from its known parts: `total` is the provider's own or the sum when both are known. */
export function usageOf(known: Partial<Usage>): Usage {
  const usage = { ...UNKNOWN_USAGE, ...known };
  const sum = usage.input !== null && usage.output !== null ? sumKnown(usage.input, usage.output) : null;
  return { ...usage, total: usage.total ?? sum };
}

/** Later non-null fields win, field by field: streams repeat cumulative figures and leave out what did not change. */
export class MergedFields {
  readonly #names: readonly string[];
  readonly #known = new Map<string, unknown>();

  /** only these names are kept, so that a stream of invented ones costs nothing */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** true when the value was an object that held at least one of the names */
  merge(value: unknown): boolean {
    const fields = asFields(value);
    if (fields === null) return false;
    let held = false;
    for (const name of this.#names) {
      const field = fields[name];
      if (field === undefined || field === null || !Object.hasOwn(fields, name)) continue;
      this.#known.set(name, field);
      held = true;
    }
    return held;
  }

  get(name: string): unknown {
    return this.#known.get(name);
  }

  get fields(): Fields | null {
    return this.#known.size === 0 ? null : Object.fromEntries(this.#known);
  }
}
