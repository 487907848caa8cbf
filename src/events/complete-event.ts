import { timestamp } from "../base/clock.ts";
import { newId } from "../base/id.ts";
import { EVENT_SCHEMA_VERSION, type Event, type NewEvent } from "../schema/event.ts";

/** Adds what the log adds: id, schema version, time. An id or time that the caller gave is kept. */
export function completeEvent(event: NewEvent, nowMs: number): Event {
  const complete = {
    ...event,
    id: event.id ?? newId("evt", nowMs),
    schema_version: EVENT_SCHEMA_VERSION,
    timestamp: event.timestamp ?? timestamp(nowMs),
  };
  return complete as Event;
}
