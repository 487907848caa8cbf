import { responseFactsOf, cutOutcome, requestFactsOf } from "../../websocket/call-facts.ts";
import type { Found, SessionOptions, SocketEnd, SocketSession, SocketShape } from "../../websocket/session.ts";
import { asFields, asName } from "../fields.ts";
import { openaiUsage } from "../openai-chat/usage.ts";
import { responsePaths } from "../slots.ts";

const SESSION = {
  type: ["type"],
  model: ["session.model"],
  transcriber: ["session.audio.input.transcription.model", "session.input_audio_transcription.model"],
};

/** OpenAI Realtime: every `response.done` is a call; what was said is transcribed by another model, which is a call of its own. */
export const realtimeSocket: SocketShape = {
  client: responsePaths(SESSION, []),
  server: responsePaths(
    { ...SESSION, usage: ["response.usage"], id: ["response.id"], status: ["response.status"], transcribed: ["usage"] },
    [],
  ),
  open: (options) => new RealtimeSession(options),
};

/** a server has one response at a time, and a few out of band */
const MAX_OPEN = 64;

class RealtimeSession implements SocketSession {
  readonly #options: SessionOptions;
  /** responses that began and are not done */
  readonly #open = new Set<string>();
  #model: string | null;
  #responseModel: string | null = null;
  #transcriber: string | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#model = options.model;
  }

  client(message: Found): void {
    if (message.get("type") !== "session.update") return;
    this.#model = asName(message.get("model")) ?? this.#model;
    this.#transcriber = asName(message.get("transcriber")) ?? this.#transcriber;
  }

  server(message: Found): void {
    this.#responseModel = asName(message.get("model")) ?? this.#responseModel;
    this.#transcriber = asName(message.get("transcriber")) ?? this.#transcriber;
    const id = asName(message.get("id"));
    switch (message.get("type")) {
      case "response.created":
        if (id !== null && this.#open.size < MAX_OPEN) this.#open.add(id);
        break;
      case "response.done":
        this.#done(message, id);
        break;
      case "conversation.item.input_audio_transcription.completed":
        this.#transcribed(message.get("transcribed"));
        break;
      default:
    }
  }

  end(how: SocketEnd): void {
    for (const responseId of this.#open) this.#emit(responseFactsOf(null, { responseId, missing: "aborted", outcome: cutOutcome(how) }));
    this.#open.clear();
  }

  #done(message: Found, responseId: string | null): void {
    if (responseId !== null) this.#open.delete(responseId);
    const fields = asFields(message.get("usage"));
    const usage = fields === null ? null : openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    const status = message.get("status");
    const outcome = status === "failed" ? "stream_error" : status === "cancelled" ? "aborted" : "ok";
    this.#emit(responseFactsOf(usage, { responseId, outcome, ...(usage === null && outcome !== "ok" ? { missing: "aborted" } : {}) }));
  }

  #transcribed(value: unknown): void {
    const fields = asFields(value);
    const usage = fields === null ? null : openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    const request = requestFactsOf({ model: this.#transcriber });
    this.#options.emit({ operation: "transcription", request, response: responseFactsOf(usage) });
  }

  #emit(response: ReturnType<typeof responseFactsOf>): void {
    const request = requestFactsOf({ model: this.#model ?? this.#responseModel });
    this.#options.emit({ operation: this.#options.operation, request, response: { ...response, responseModel: this.#responseModel } });
  }
}
