import { background } from "../base/background.ts";
import { AppError } from "../base/error.ts";
import type { Event } from "../schema/event.ts";
import type { RouteContext } from "./route.ts";
import { SseStream } from "./sse.ts";

/** events that may wait for a slow client; past it the stream ends, and the client resumes where it was */
const MAX_WAITING = 8_192;

/**
 * Streams events as they happen. With `Last-Event-ID` it begins after that event. A client that falls too far behind gets a
 * `gap` event and the end of the stream, never a silent hole: it connects again with the id it has.
 */
export function streamEvents(call: RouteContext, wanted: (event: Event) => boolean): Response {
  const afterId = lastEventId(call.headers["last-event-id"]);
  const stream = new SseStream();
  const waiting: Event[] = [];
  let overflowed = false;
  let wake: () => void = () => undefined;
  const unsubscribe = call.app.events.follow(
    (event) => {
      if (overflowed || !wanted(event)) return;
      if (waiting.length >= MAX_WAITING) overflowed = true;
      else waiting.push(event);
      wake();
    },
    afterId === undefined ? {} : { afterId },
  );
  const over = AbortSignal.any([stream.closed, call.stopping, call.signal]);
  over.addEventListener("abort", () => wake(), { once: true });
  const pump = async (): Promise<void> => {
    try {
      while (!over.aborted) {
        const event = waiting.shift();
        if (event !== undefined) await stream.send({ event: event.type, data: event, id: event.id });
        else if (overflowed) {
          await stream.send({ event: "gap", data: { reason: "the client reads too slowly; connect again with Last-Event-ID" } });
          return;
        } else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      unsubscribe();
      stream.close();
    }
  };
  background("event stream", pump(), call.log);
  return stream.response();
}

function lastEventId(header: string | string[] | undefined): string | undefined {
  if (header === undefined || header === "") return undefined;
  if (typeof header !== "string" || !/^evt_[0-9a-z]{1,64}$/.test(header)) {
    throw new AppError("VALIDATION", "Last-Event-ID: the id of an event is expected");
  }
  return header;
}
