import { asName, MergedFields } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import type { ReaderOptions, ReaderResult, ResponseReader, Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/**
 * Runs of OpenAI's Assistants (deprecated, still served): the run is the body, or the data of a `thread.run.*` event. Threads, messages
 * and steps stand in the same stream, with ids and, for steps, a usage of their own that the run's holds already: `object` tells them
 * apart. A run has its usage when it is over; one that was not streamed is polled until then.
 */
export const openaiRuns: Shape = {
  id: "openai-runs",
  request: {
    model: "model",
    assistant_id: "agent",
    stream: "stream",
    max_completion_tokens: "maxOutputTokens",
  },
  response: responsePaths(
    {
      object: ["object"],
      usage: ["usage"],
      model: ["model"],
      id: ["id"],
      tier: ["service_tier"],
      status: ["status"],
      error: ["error", "last_error"],
    },
    ["delta.content.*.text.value", "delta.step_details.tool_calls.*.function.arguments"],
  ),
  read: (options) => new RunReader(options),
};

const PENDING: ReadonlySet<unknown> = new Set(["queued", "in_progress", "requires_action", "cancelling"]);
const OVER: ReadonlySet<unknown> = new Set(["completed", "incomplete", "failed", "cancelled", "expired"]);

class RunReader implements ResponseReader {
  readonly #options: ReaderOptions;
  readonly #usage = new MergedFields(OPENAI_USAGE_FIELDS);
  /** the document that is being read */
  #document = new Map<string, unknown>();
  #model: string | null = null;
  #id: string | null = null;
  #tier: string | null = null;
  #status: string | null = null;
  #failed = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (value !== null) this.#document.set(slot, value);
  }

  dropped(slot: string): void {
    if (slot === "error") this.#document.set(slot, true);
  }

  document(): void {
    const read = this.#document;
    this.#document = new Map();
    const object = read.get("object");
    // an error of the stream, or of the request, is no object of theirs
    if (object === undefined) this.#failed ||= read.has("error");
    if (object !== "thread.run") return;
    this.#usage.merge(read.get("usage"));
    this.#model = asName(read.get("model")) ?? this.#model;
    this.#id ??= asName(read.get("id"));
    this.#tier = asName(read.get("tier")) ?? this.#tier;
    this.#status = asName(read.get("status")) ?? this.#status;
    this.#failed ||= read.has("error");
  }

  result(): ReaderResult {
    const { fields } = this.#usage;
    return {
      usage: fields === null ? null : openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false }),
      outputIsPlaceholder: false,
      final: OVER.has(this.#status),
      responseModel: this.#model,
      responseId: this.#id,
      serviceTier: this.#tier,
      failed: this.#failed || this.#status === "failed",
      pending: PENDING.has(this.#status) && fields === null,
    };
  }
}
