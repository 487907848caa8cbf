import { timestamp } from "../base/clock.ts";
import { newId } from "../base/id.ts";
import type { Event, NewEvent } from "../schema/event.ts";
import { EVENT_SCHEMA_VERSION } from "../schema/event-version.ts";

let lastMs = Number.NaN;
let lastText = "";

/** Thousands of events share a millisecond under load. */
function textOf(nowMs: number): string {
  if (nowMs !== lastMs) {
    lastText = timestamp(nowMs);
    lastMs = nowMs;
  }
  return lastText;
}

/** Adds what the log adds: id, schema version, time. An id or time that the caller gave is kept. */
export function completeEvent(event: NewEvent, nowMs: number): Event {
  const complete = {
    ...event,
    id: event.id ?? newId("evt", nowMs),
    schema_version: EVENT_SCHEMA_VERSION,
    timestamp: event.timestamp ?? textOf(nowMs),
  };
  return complete as Event;
}
