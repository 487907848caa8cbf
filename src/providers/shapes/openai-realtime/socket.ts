import { contextAfter, responseFactsOf, cutOutcome, requestFactsOf } from "../../websocket/call-facts.ts";
import type { Found, SessionOptions, SocketAsk, SocketEnd, SocketSession, SocketShape } from "../../websocket/session.ts";
import { asCount, asFields, asName } from "../fields.ts";
import { openaiUsage } from "../openai-chat/usage.ts";
import { TOO_MANY } from "../../websocket/reader-session.ts";
import { responsePaths } from "../slots.ts";

const SESSION = {
  type: ["type"],
  model: ["session.model"],
  transcriber: ["session.audio.input.transcription.model", "session.input_audio_transcription.model"],
};

/** OpenAI Realtime: every `response.done` is a call; what was said is transcribed by another model, which is a call of its own. */
export const realtimeSocket: SocketShape = {
  client: responsePaths({ ...SESSION, maxOutputTokens: ["response.max_output_tokens"] }, []),
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
  /** responses that the client asked for and that are not done */
  #asked = 0;
  /** the last of them was asked for by sound alone: the server decides whether it answers */
  #isHearing = false;
  #model: string | null;
  #responseModel: string | null = null;
  #transcriber: string | null = null;
  /** of the last response: what it read and wrote is read again by the next one */
  #contextTokens = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#model = options.model;
  }

  client(message: Found): readonly SocketAsk[] {
    const { operation } = this.#options;
    const ask = (kind: SocketAsk["kind"], model: string | null, more: Partial<SocketAsk> = {}): SocketAsk => {
      const request = requestFactsOf({
        model,
        maxOutputTokens: asCount(message.get("maxOutputTokens")),
        contextTokens: this.#contextTokens,
      });
      return { kind, operation, request, ...more };
    };
    switch (message.get("type")) {
      case "session.update":
      case "transcription_session.update": {
        const [model, transcriber] = [asName(message.get("model")), asName(message.get("transcriber"))];
        this.#model = model ?? this.#model;
        this.#transcriber = transcriber ?? this.#transcriber;
        const named = model === null ? [] : [ask("name", model)];
        return transcriber === null ? named : [...named, ask("name", transcriber, { operation: "transcription" })];
      }
      case "response.create":
        // behind sound it is what the sound stood for
        if (this.#isHearing) {
          this.#isHearing = false;
          return [];
        }
        if (this.#asked === MAX_OPEN) return [ask("call", this.#model, { fault: TOO_MANY })];
        this.#asked += 1;
        return [ask("call", this.#model)];
      case "input_audio_buffer.append":
        // the server may answer as soon as it hears the end of a sentence
        if (this.#asked > 0) return [];
        this.#asked = 1;
        this.#isHearing = true;
        return [ask("call", this.#model)];
      default:
        return [];
    }
  }

  withdrawn(): void {
    this.#asked = Math.max(0, this.#asked - 1);
    this.#isHearing = false;
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
      case "error":
        // of a request that led to no response
        if (this.#unanswered() > 0) this.#emit(responseFactsOf(null, { missing: null, outcome: "stream_error" }));
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
    // asked for and not begun is a call, too; sound that nobody answered is none
    while (this.#unanswered() > 0) this.#emit(responseFactsOf(null, { missing: "aborted", outcome: cutOutcome(how) }));
  }

  #unanswered(): number {
    return this.#asked - this.#open.size - (this.#isHearing ? 1 : 0);
  }

  #done(message: Found, responseId: string | null): void {
    if (responseId !== null) this.#open.delete(responseId);
    const fields = asFields(message.get("usage"));
    const usage = fields === null ? null : openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    this.#contextTokens = contextAfter(usage) ?? this.#contextTokens;
    const status = message.get("status");
    const outcome = status === "failed" ? "stream_error" : status === "cancelled" ? "aborted" : "ok";
    this.#emit(responseFactsOf(usage, { responseId, outcome, ...(usage === null && outcome !== "ok" ? { missing: "aborted" } : {}) }));
  }

  #transcribed(value: unknown): void {
    const fields = asFields(value);
    const usage = fields === null ? null : openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    const request = requestFactsOf({ model: this.#transcriber });
    this.#options.emit({ operation: "transcription", request, response: responseFactsOf(usage), wasAsked: false });
  }

  #emit(response: ReturnType<typeof responseFactsOf>): void {
    const request = requestFactsOf({ model: this.#model ?? this.#responseModel });
    const { operation } = this.#options;
    const wasAsked = this.#asked > 0;
    if (wasAsked) this.#asked -= 1;
    if (this.#asked === 0) this.#isHearing = false;
    this.#options.emit({ operation, request, response: { ...response, responseModel: this.#responseModel }, wasAsked });
  }
}
