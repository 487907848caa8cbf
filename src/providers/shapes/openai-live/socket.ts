import { cutOutcome, requestFactsOf, responseFactsOf } from "../../websocket/call-facts.ts";
import type { Found, SessionOptions, SocketAsk, SocketEnd, SocketSession, SocketShape } from "../../websocket/session.ts";
import { asAmount, asFields, asName, usageOf } from "../fields.ts";
import { openaiUsage } from "../openai-chat/usage.ts";
import { responsePaths } from "../slots.ts";

/**
 * OpenAI Live: one session, paid by the second. `session.usage.updated` is cumulative, so that the last one is the session's; the
 * responses that it delegates have tokens and are calls of their own.
 */
export const liveSocket: SocketShape = {
  client: responsePaths({ type: ["type"], model: ["session.model"] }, []),
  server: responsePaths(
    {
      type: ["type"],
      model: ["session.model"],
      sessionId: ["session.id"],
      seconds: ["usage.seconds", "session.usage.seconds"],
      usage: ["event.response.usage", "response.event.response.usage"],
      responseModel: ["event.response.model", "response.event.response.model"],
      id: ["event.response.id", "response.event.response.id"],
    },
    [],
  ),
  isOneCall: true,
  open: (options) => new LiveSession(options),
};

class LiveSession implements SocketSession {
  readonly #options: SessionOptions;
  #model: string | null;
  #id: string | null = null;
  #seconds: number | null = null;
  #began = false;
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#model = options.model;
  }

  client(message: Found): readonly SocketAsk[] {
    const named = asName(message.get("model"));
    if (named === null) return [];
    this.#model = named;
    const { operation } = this.#options;
    return [{ kind: "name", operation, request: requestFactsOf({ model: named }) }];
  }

  withdrawn(): void {
    // its messages only name models
  }

  server(message: Found): void {
    this.#began = true;
    this.#model ??= asName(message.get("model"));
    this.#id ??= asName(message.get("sessionId"));
    if (message.get("type") === "session.closed") this.#closed = true;
    const seconds = asAmount(message.get("seconds"));
    if (seconds !== null) this.#seconds = Math.max(this.#seconds ?? 0, seconds);
    const fields = asFields(message.get("usage"));
    if (fields === null) return;
    const model = asName(message.get("responseModel"));
    const usage = openaiUsage(fields, { provider: this.#options.provider, reasoningMayBeOutside: false });
    this.#options.emit({
      operation: "responses",
      request: requestFactsOf({ model }),
      response: responseFactsOf(usage, { responseModel: model, responseId: asName(message.get("id")) }),
      wasAsked: false,
    });
  }

  end(how: SocketEnd): void {
    if (!this.#began) return;
    const isOver = this.#closed || how === "complete";
    const usage = this.#seconds === null ? null : usageOf({ units: { audio_seconds: this.#seconds } });
    const known = { responseId: this.#id, outcome: isOver ? ("ok" as const) : cutOutcome(how) };
    const response =
      usage === null ? responseFactsOf(null, { ...known, missing: isOver ? "not_sent" : "aborted" }) : responseFactsOf(usage, known);
    // a session that broke off was paid for until its last figure, and perhaps a little longer
    const source = usage !== null && !isOver ? { source: "partial" as const } : {};
    this.#options.emit({
      operation: this.#options.operation,
      request: requestFactsOf({ model: this.#model }),
      response: { ...response, ...source },
      wasAsked: true,
    });
  }
}
