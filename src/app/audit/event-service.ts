import type { EventLog } from "../../events/log.ts";
import type { Event } from "../../schema/event.ts";
import { withoutBodies } from "../../schema/shown-body.ts";
import type { EventService } from "../facade.ts";

/** Events held for a client that comes back with `Last-Event-ID`. */
const HELD = 2_000;

/** The log as the surfaces see it: its tail on disk, and a live feed that can be taken up again. */
export function createEventService(log: EventLog, tail: EventService["tail"]): EventService & Disposable {
  const held: Event[] = [];
  const unsubscribe = log.subscribe((event) => {
    held.push(withoutBodies(event));
    if (held.length > 2 * HELD) held.splice(0, held.length - HELD);
  });
  return {
    log,
    tail: async (query) => (await tail(query)).map(withoutBodies),
    follow(listener, { afterId } = {}) {
      if (afterId !== undefined) {
        const at = held.findIndex((event) => event.id === afterId);
        // an id that is no longer held: what is held is the best there is, and its ids show the gap
        for (const event of held.slice(at + 1)) listener(event);
      }
      return log.subscribe((event) => listener(withoutBodies(event)));
    },
    [Symbol.dispose]: unsubscribe,
  };
}
