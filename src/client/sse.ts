import { AppError } from "../base/error.ts";

/** One server-sent event. `id` is the newest id of the stream, for resuming. */
export type SseEvent = { readonly event: string; readonly data: string; readonly id: string };

/** characters of one event; past it the stream is not ours */
const MAX_EVENT_CHARS = 16 * 1024 * 1024;

/** Reads an event stream (WHATWG HTML §9.2.6) from its bytes. */
export async function* readEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let data: string[] = [];
  let size = 0;
  let id = "";
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    if (rest.length > MAX_EVENT_CHARS) throw tooLarge();
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { event: event === "" ? "message" : event, data: data.join("\n"), id };
        event = "";
        data = [];
        size = 0;
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event = value;
      else if (field === "id" && !value.includes("\0")) id = value;
      else if (field === "data") {
        size += value.length;
        if (size > MAX_EVENT_CHARS) throw tooLarge();
        data.push(value);
      }
    }
  }
}

function tooLarge(): AppError {
  return new AppError("TOO_LARGE", `an event of more than ${MAX_EVENT_CHARS} characters`);
}
