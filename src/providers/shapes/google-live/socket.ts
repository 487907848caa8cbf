import { contextAfter, readerFacts, requestFactsOf, responseFactsOf } from "../../websocket/call-facts.ts";
import type { Found, SessionOptions, SocketAsk, SocketEnd, SocketSession, SocketShape } from "../../websocket/session.ts";
import { asCount, asName, MergedFields } from "../fields.ts";
import { GOOGLE_USAGE_FIELDS, googleUsage } from "../google-generate-content/usage.ts";
import { NOTHING_READ } from "../shape.ts";
import { responsePaths } from "../slots.ts";

/**
 * Gemini Live: the first client message names the model, every turn of the server is a call. `usageMetadata` is cumulative within a
 * turn and comes before, with or right behind the message that completes it; messages are JSON in binary frames.
 */
export const googleLiveSocket: SocketShape = {
  client: responsePaths(
    {
      model: ["setup.model"],
      maxOutputTokens: ["setup.generationConfig.maxOutputTokens", "setup.generation_config.max_output_tokens"],
      turnComplete: ["clientContent.turnComplete", "client_content.turn_complete"],
    },
    [],
  ),
  server: responsePaths(
    { usage: ["usageMetadata"], over: ["serverContent.turnComplete"], began: ["serverContent.modelTurn.role", "toolCall.functionCalls"] },
    ["serverContent.modelTurn.parts.*.text", "serverContent.outputTranscription.text"],
  ),
  open: (options) => new GoogleLiveSession(options),
};

class GoogleLiveSession implements SocketSession {
  readonly #options: SessionOptions;
  #model: string | null;
  #maxOutputTokens: number | null = null;
  #usage = new MergedFields(GOOGLE_USAGE_FIELDS);
  #textBytes = 0;
  #open = false;
  /** the turn is complete, its usage may still come */
  #over = false;
  #isSetUp = false;
  /** the client said something that the next turn answers */
  #asked = false;
  /** it said that the turn is the server's now */
  #isWaiting = false;
  /** of the last turn: what it read and wrote is read again by the next one */
  #contextTokens = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#model = options.model;
  }

  client(message: Found): readonly SocketAsk[] {
    const named = asName(message.get("model"));
    // on Vertex the name is a path
    this.#model ??= named?.split("/").at(-1) ?? null;
    this.#maxOutputTokens ??= asCount(message.get("maxOutputTokens"));
    const { operation } = this.#options;
    const request = requestFactsOf({
      model: this.#model,
      maxOutputTokens: this.#maxOutputTokens,
      contextTokens: this.#contextTokens,
    });
    if (named !== null && !this.#isSetUp) {
      this.#isSetUp = true;
      return [{ kind: "name", operation, request }];
    }
    // text, sound, results of tools: a turn may follow, and one turn answers all that came before it
    this.#isWaiting ||= message.get("turnComplete") === true;
    if (this.#asked) return [];
    this.#asked = true;
    return [{ kind: "call", operation, request }];
  }

  withdrawn(): void {
    this.#asked = false;
    this.#isWaiting = false;
  }

  server(message: Found): void {
    const hasContent = message.textBytes > 0 || message.get("began") !== undefined;
    if (this.#over && hasContent) this.#emit(null);
    this.#open ||= hasContent;
    this.#textBytes += message.textBytes;
    const hasUsage = this.#usage.merge(message.get("usage"));
    this.#open ||= hasUsage;
    this.#over ||= message.get("over") === true && this.#open;
    if (this.#over && this.#usage.fields !== null) this.#emit(null);
  }

  end(how: SocketEnd): void {
    if (this.#open || this.#isWaiting) this.#emit(this.#over ? null : how);
  }

  /** `how` null: the turn is complete. */
  #emit(how: SocketEnd | null): void {
    const { fields } = this.#usage;
    const usage = fields === null ? null : googleUsage(fields);
    this.#contextTokens = contextAfter(usage) ?? this.#contextTokens;
    const request = requestFactsOf({ model: this.#model, maxOutputTokens: this.#maxOutputTokens });
    const response = how === null ? responseFactsOf(usage) : readerFacts({ ...NOTHING_READ, usage }, how, this.#textBytes);
    this.#options.emit({ operation: this.#options.operation, request, response, wasAsked: this.#asked });
    this.#asked = false;
    this.#isWaiting = false;
    this.#usage = new MergedFields(GOOGLE_USAGE_FIELDS);
    this.#textBytes = 0;
    this.#open = false;
    this.#over = false;
  }
}
