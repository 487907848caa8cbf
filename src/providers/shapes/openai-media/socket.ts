import { cutOutcome, requestFactsOf, responseFactsOf } from "../../websocket/call-facts.ts";
import type { Found, SessionOptions, SocketAsk, SocketEnd, SocketSession, SocketShape } from "../../websocket/session.ts";
import { asFields, asName } from "../fields.ts";
import { openaiUsage } from "../openai-chat/usage.ts";
import { responsePaths } from "../slots.ts";

/** Mistral's transcription of sound as it comes: one call from its first sound to `transcription.done`, which has the usage. */
export const transcriptionSocket: SocketShape = {
  client: responsePaths({ type: ["type"] }, []),
  server: responsePaths({ type: ["type"], model: ["model"], usage: ["usage"] }, []),
  open: (options) => new TranscriptionSession(options),
};

class TranscriptionSession implements SocketSession {
  readonly #options: SessionOptions;
  #responseModel: string | null = null;
  #asked = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  client(message: Found): readonly SocketAsk[] {
    if (this.#asked || message.get("type") !== "input_audio.append") return [];
    this.#asked = true;
    const { operation, model } = this.#options;
    return [{ kind: "call", operation, request: requestFactsOf({ model }) }];
  }

  withdrawn(): void {
    this.#asked = false;
  }

  server(message: Found): void {
    this.#responseModel = asName(message.get("model")) ?? this.#responseModel;
    const type = message.get("type");
    if (type === "error" && this.#asked) this.#emit(responseFactsOf(null, { missing: null, outcome: "stream_error" }));
    if (type !== "transcription.done") return;
    const fields = asFields(message.get("usage"));
    const { provider } = this.#options;
    this.#emit(responseFactsOf(fields === null ? null : openaiUsage(fields, { provider, reasoningMayBeOutside: false })));
  }

  end(how: SocketEnd): void {
    if (this.#asked) this.#emit(responseFactsOf(null, { missing: "aborted", outcome: cutOutcome(how) }));
  }

  #emit(response: ReturnType<typeof responseFactsOf>): void {
    const { operation, model } = this.#options;
    const wasAsked = this.#asked;
    this.#asked = false;
    const request = requestFactsOf({ model });
    this.#options.emit({ operation, request, response: { ...response, responseModel: this.#responseModel }, wasAsked });
  }
}
