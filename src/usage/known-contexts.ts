/** What a call goes on from, of one sandbox and one provider. */
export type Continued = {
  readonly sandbox: string;
  readonly provider: string;
  readonly previousResponseId?: string | undefined;
  readonly conversationId?: string | undefined;
};

const DEFAULT_LIMIT = 10_000;

/**
 * How many tokens the contexts hold that providers keep: a call that goes on from an answer says only its id, and is billed for all that
 * stands before it. Kept for each sandbox by itself, so that none makes another's calls dear by an id. Past its limit the contexts that
 * were longest not used are forgotten; a call that goes on from one is reserved by its own bytes, and settled by what it used.
 */
export class KnownContexts {
  readonly #limit: number;
  readonly #tokens = new Map<string, number>();

  constructor(limit = DEFAULT_LIMIT) {
    this.#limit = limit;
  }

  /** Tokens before what the call sends; 0 when nothing is known of them. */
  before(call: Continued): number {
    return Math.max(0, ...keysOf(call, call.previousResponseId).map((key) => this.#use(key)));
  }

  /** A call ended: who goes on from its answer, or in its conversation, goes on from so many tokens. */
  after(call: Continued, responseId: string | null, tokens: number): void {
    for (const key of keysOf(call, responseId ?? undefined)) {
      this.#tokens.delete(key);
      this.#tokens.set(key, tokens);
    }
    while (this.#tokens.size > this.#limit) {
      const [oldest] = this.#tokens.keys();
      if (oldest === undefined) return;
      this.#tokens.delete(oldest);
    }
  }

  #use(key: string): number {
    const tokens = this.#tokens.get(key);
    if (tokens === undefined) return 0;
    this.#tokens.delete(key);
    this.#tokens.set(key, tokens);
    return tokens;
  }
}

function keysOf({ sandbox, provider, conversationId }: Continued, responseId: string | undefined): readonly string[] {
  const named = [responseId === undefined ? [] : [`r ${responseId}`], conversationId === undefined ? [] : [`c ${conversationId}`]].flat();
  return named.map((name) => `${sandbox}\n${provider}\n${name}`);
}
