import type { ResponseFacts } from "../../types.ts";
import { responseFactsOf } from "../../websocket/call-facts.ts";
import { ANTHROPIC_USAGE_FIELDS, anthropicUsage } from "../anthropic-messages/usage.ts";
import { asFields, asName, MergedFields } from "../fields.ts";
import { NOTHING_READ, type ReaderOptions, type ReaderResult, type ResponseReader, type Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/**
 * Agents that Anthropic runs: a session's events, as a stream or in pages of its history. The model requests that the provider made are
 * among them, each with an id of its own; the same ones come with every page and every stream. Snapshots of the whole session
 * (`session.usage`, GET of the session) say the same once more, summed, and are left aside.
 */
export const anthropicSessions: Shape = {
  id: "anthropic-sessions",
  request: { stream: "stream" },
  response: responsePaths(
    {
      type: ["type", "data.*.type"],
      id: ["id", "data.*.id"],
      usage: ["model_usage", "data.*.model_usage", "usage", "data.*.usage"],
      isError: ["is_error", "data.*.is_error"],
    },
    [],
    { counts: { event: ["data.*"] } },
  ),
  read: (options) => new SessionReader(options),
};

/** one for each event that says what models used: the agent's own requests, and those of whoever grades its work, by the cycle */
const USED: ReadonlySet<unknown> = new Set(["span.model_request_end", "span.outcome_evaluation_end"]);

/** model requests that are held for whoever takes them; a chunk of a body has some hundreds at most */
const MAX_HELD = 4_096;

class SessionReader implements ResponseReader {
  readonly #options: ReaderOptions;
  #event = new Map<string, unknown>();
  #calls: ResponseFacts[] = [];
  #overflowed = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    this.#event.set(slot, value);
  }

  dropped(): void {
    // a usage object past the cap belongs to no honest event
  }

  enter(): void {
    this.#over();
  }

  document(): void {
    this.#over();
  }

  take(): readonly ResponseFacts[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }

  result(): ReaderResult {
    return {
      ...NOTHING_READ,
      // what the session uses comes with its events
      pending: !this.#overflowed,
    };
  }

  #over(): void {
    const event = this.#event;
    if (event.size === 0) return;
    this.#event = new Map();
    const id = asName(event.get("id"));
    if (id === null || !USED.has(event.get("type"))) return;
    const fields = new MergedFields(ANTHROPIC_USAGE_FIELDS);
    if (!fields.merge(asFields(event.get("usage"))) || fields.fields === null) return;
    if (this.#calls.length >= MAX_HELD) {
      this.#overflowed = true;
      return;
    }
    const outcome = event.get("isError") === true ? "server_error" : "ok";
    this.#calls.push(responseFactsOf(anthropicUsage(fields.fields, this.#options.provider), { responseId: id, outcome }));
  }
}
