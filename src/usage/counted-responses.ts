import { FETCH_OPERATIONS } from "../schema/operation.ts";

/** What tells whether a call's tokens were counted before. */
export type CountedCandidate = {
  readonly provider: string;
  readonly operation: string;
  readonly response_id?: string | undefined;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly total_tokens: number | null;
};

const DEFAULT_LIMIT = 10_000;

/**
 * Responses whose tokens were counted: a background response is polled until it is done and may be fetched again after that, with the
 * same usage each time. Two ordinary calls are never the same response, whatever their ids say; a fetch and the call that made the
 * response are. Past its limit the oldest are forgotten, in halves; the ledger has them all.
 */
export class CountedResponses {
  readonly #limit: number;
  /** provider and id → was one of them a fetch? Those used since the last time that there were `limit` of them, */
  #recent = new Map<string, boolean>();
  /** and those used before that. Taking out the single oldest would walk over all that were taken out before it. */
  #older: ReadonlyMap<string, boolean> = new Map<string, boolean>();

  /** @param limit how many are remembered at least; at most twice as many */
  constructor(limit = DEFAULT_LIMIT) {
    this.#limit = limit;
  }

  /** Whether the call's tokens were counted before; if not, they are from now on. */
  isRepeat(call: CountedCandidate): boolean {
    const { response_id: id, input_tokens: input, output_tokens: output, total_tokens: total } = call;
    if (id === undefined || id === "" || (input === null && output === null && total === null)) return false;
    const key = `${call.provider}\n${id}`;
    const isFetch = FETCH_OPERATIONS.has(call.operation);
    const known = this.#recent.get(key) ?? this.#older.get(key);
    const isRepeat = known !== undefined && (isFetch || known);
    this.#recent.set(key, isFetch || known === true);
    if (this.#recent.size >= this.#limit) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    return isRepeat;
  }
}
