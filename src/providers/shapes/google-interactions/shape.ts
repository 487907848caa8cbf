import type { Usage } from "../../../schema/usage.ts";
import { asCount, asFields, asName, sumKnown, usageOf } from "../fields.ts";
import type { ReaderResult, ResponseReader, Shape } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/**
 * Gemini Interactions. One call may make several hops, each with its own id, `interaction.completed` and bill; the last figures of
 * one id replace its earlier ones, different ids are summed.
 */
export const googleInteractions: Shape = {
  id: "google-interactions",
  request: {
    model: "model",
    agent: "agent",
    stream: "stream",
    "generation_config.max_output_tokens": "maxOutputTokens",
    service_tier: "serviceTier",
    previous_interaction_id: "previous",
  },
  response: responsePaths(
    {
      usage: ["usage", "interaction.usage"],
      id: ["id", "interaction.id"],
      model: ["model", "interaction.model"],
      status: ["status", "interaction.status"],
      error: ["error"],
      type: ["event_type"],
    },
    ["delta.text"],
  ),
  read: () => new InteractionsReader(),
};

const MAX_HOPS = 64;
const OVER: ReadonlySet<unknown> = new Set(["completed", "failed", "cancelled", "incomplete", "requires_action"]);

class InteractionsReader implements ResponseReader {
  readonly #hops = new Map<string, Usage>();
  #model: string | null = null;
  #firstId: string | null = null;
  /** of the document being read */
  #id: string | null = null;
  #usage: unknown = null;
  #status: string | null = null;
  #failed = false;

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    if (value === null) return;
    if (slot === "usage") this.#usage = value;
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "model") this.#model = asName(value) ?? this.#model;
    else if (slot === "status") this.#status = asName(value) ?? this.#status;
    else if (slot === "error" || value === "error" || value === "interaction.failed") this.#failed = true;
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  document(): void {
    const fields = asFields(this.#usage);
    this.#firstId ??= this.#id;
    const hop = this.#id ?? "";
    this.#usage = null;
    this.#id = null;
    if (fields === null || (!this.#hops.has(hop) && this.#hops.size === MAX_HOPS)) return;
    const input = sumKnown(asCount(fields["total_input_tokens"]), asCount(fields["total_tool_use_tokens"]));
    const thoughts = asCount(fields["total_thought_tokens"]);
    const output = sumKnown(asCount(fields["total_output_tokens"]), thoughts);
    if (input === null && output === null) return;
    this.#hops.set(
      hop,
      usageOf({
        input,
        output,
        total: asCount(fields["total_tokens"]),
        cacheRead: asCount(fields["total_cached_tokens"]),
        reasoning: thoughts,
      }),
    );
  }

  result(): ReaderResult {
    const hops = [...this.#hops.values()];
    const sum = (field: "input" | "output" | "total" | "cacheRead" | "reasoning"): number | null =>
      sumKnown(...hops.map((hop) => hop[field]));
    return {
      usage:
        hops.length === 0
          ? null
          : usageOf({
              input: sum("input"),
              output: sum("output"),
              total: sum("total"),
              cacheRead: sum("cacheRead"),
              reasoning: sum("reasoning"),
            }),
      outputIsPlaceholder: false,
      final: OVER.has(this.#status),
      responseModel: this.#model,
      responseId: this.#firstId,
      serviceTier: null,
      failed: this.#failed || this.#status === "failed",
      pending: this.#status === "in_progress" || this.#status === "queued",
    };
  }
}
