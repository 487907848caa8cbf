import type { Event, ShownBody } from "../schema/event.ts";

/** Bytes of one event in the log, at most. */
export const MAX_EVENT_BYTES = 64 * 1024;

/** Caps of the first try; an event that is still too large is cut again, harder. */
const CAPS = [
  { maxString: 8192, maxItems: 1024 },
  { maxString: 2048, maxItems: 256 },
  { maxString: 512, maxItems: 64 },
  { maxString: 128, maxItems: 16 },
  { maxString: 32, maxItems: 4 },
] as const;

export type Caps = { readonly maxString: number; readonly maxItems: number };

// DEL, C1, line separators, bidirectional controls: legal raw in JSON, and all of them move a terminal or mislead a reader
const RISKY = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * The event as the bytes that are chained: one line of JSON, every control character escaped, at most {@link MAX_EVENT_BYTES}.
 * Strings and lists past a cap end in a mark that says how much is gone.
 */
export function encodeEvent(event: Event): string {
  const plain = escapeControls(JSON.stringify(event));
  // no string inside can be longer than the whole
  if (plain.length <= CAPS[0].maxString) return plain;
  const { rest, bodies } = apart(event);
  for (const caps of CAPS) {
    const text = escapeControls(JSON.stringify({ ...(capStrings(rest, caps) as object), ...bodies }));
    if (Buffer.byteLength(text) <= MAX_EVENT_BYTES) return text;
  }
  // only hundreds of unknown keys come here, and the schema has none: keep what identifies the event
  const { id, type, schema_version, timestamp, actor, outcome } = event;
  return escapeControls(
    JSON.stringify(
      capStrings({ id, type, schema_version, timestamp, actor, outcome, reason: "event too large" }, { maxString: 256, maxItems: 8 }),
    ),
  );
}

/** Bodies were made to fit by whoever made them, and a mark inside would make them something else. */
function apart(event: Event): { readonly rest: object; readonly bodies: object } {
  if (!("request_body" in event) && !("response_body" in event)) return { rest: event, bodies: {} };
  const { request_body, response_body, ...rest } = event as Event & {
    readonly request_body?: ShownBody;
    readonly response_body?: ShownBody;
  };
  return {
    rest,
    bodies: { ...(request_body === undefined ? {} : { request_body }), ...(response_body === undefined ? {} : { response_body }) },
  };
}

/** A copy in which no string is longer than `maxString` UTF-16 units and no list or record larger than `maxItems`. Pure. */
export function capStrings(value: unknown, caps: Caps): unknown {
  if (typeof value === "string") return capString(value, caps.maxString);
  if (Array.isArray(value)) {
    const kept = value.slice(0, caps.maxItems).map((item) => capStrings(item, caps));
    return value.length > caps.maxItems ? [...kept, `…[+${value.length - caps.maxItems} items]`] : kept;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    return Object.fromEntries(
      entries.slice(0, Math.max(caps.maxItems, 64)).map(([key, item]) => [capString(key, caps.maxString), capStrings(item, caps)]),
    );
  }
  return value;
}

function capString(text: string, max: number): string {
  if (text.length <= max) return text;
  // never leave half a surrogate pair
  const end = /[\ud800-\udbff]/.test(text.charAt(max - 1)) ? max - 1 : max;
  return `${text.slice(0, end)}…[+${text.length - end}]`;
}

function escapeControls(json: string): string {
  return json.replace(RISKY, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
