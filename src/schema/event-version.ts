/** Version of the events' fields; apart from their schemas, which writing an event does not need. */
export const EVENT_SCHEMA_VERSION = 1;
