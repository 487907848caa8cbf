import { asCount, asFields, asName } from "../shapes/fields.ts";
import type { ResponseReader, Shape } from "../shapes/shape.ts";
import type { RequestFacts } from "../types.ts";
import { readerFacts, requestFactsOf } from "./call-facts.ts";
import type { Found, SessionOptions, SocketAsk, SocketEnd, SocketSession } from "./session.ts";

export type ReaderSessionRules = {
  /** does this client message ask for a response? */
  begins(message: Found): boolean;
  /** is this server message the last of a response? */
  ends(message: Found): boolean;
};

/** a client may ask ahead; what it asks past this is counted without its request */
const MAX_WAITING = 64;
export const TOO_MANY = "too many calls wait for their answers in one WebSocket";

/** A WebSocket whose server messages are the events of the shape's stream, one response after the other. */
export class ReaderSession implements SocketSession {
  readonly #shape: Shape;
  readonly #options: SessionOptions;
  readonly #rules: ReaderSessionRules;
  readonly #waiting: RequestFacts[] = [];
  #reader: ResponseReader | null = null;
  #textBytes = 0;

  constructor(shape: Shape, options: SessionOptions, rules: ReaderSessionRules) {
    this.#shape = shape;
    this.#options = options;
    this.#rules = rules;
  }

  client(message: Found): readonly SocketAsk[] {
    if (!this.#rules.begins(message)) return [];
    const previous = asName(message.get("previous"));
    const kept = message.get("conversation");
    const conversation = asName(kept) ?? asName(asFields(kept)?.["id"]);
    const request = requestFactsOf({
      ...(previous === null ? {} : { previousResponseId: previous }),
      ...(conversation === null ? {} : { conversationId: conversation }),
      model: asName(message.get("model")) ?? this.#options.model,
      maxOutputTokens: asCount(message.get("maxOutputTokens")),
      serviceTier: asName(message.get("tier")),
    });
    const ask = { kind: "call", operation: this.#options.operation, request } as const;
    if (this.#waiting.length === MAX_WAITING) return [{ ...ask, fault: TOO_MANY }];
    this.#waiting.push(request);
    return [ask];
  }

  withdrawn(): void {
    this.#waiting.pop();
  }

  server(message: Found): void {
    // between calls a server may say things of its own (rate limits): what nobody asked for and has no id is no call
    if (this.#reader === null && this.#waiting.length === 0 && message.get("id") === undefined) return;
    const reader = this.#open();
    for (const [slot, value] of message.values) if (reader.wants(slot)) reader.value(slot, value);
    reader.document?.();
    this.#textBytes += message.textBytes;
    if (this.#rules.ends(message)) this.#emit("over");
  }

  end(how: SocketEnd): void {
    // asked for and not begun is a call, too
    while (this.#waiting.length > 0 || this.#reader !== null) this.#emit(how);
  }

  #open(): ResponseReader {
    const { provider, operation } = this.#options;
    this.#reader ??= this.#shape.read({ provider, operation });
    return this.#reader;
  }

  #emit(how: SocketEnd | "over"): void {
    const result = this.#open().result();
    const asked = this.#waiting.shift();
    const request = asked ?? requestFactsOf({ model: this.#options.model });
    const response = readerFacts(result, how, this.#textBytes);
    this.#options.emit({ operation: this.#options.operation, request, response, wasAsked: asked !== undefined });
    this.#reader = null;
    this.#textBytes = 0;
  }
}
