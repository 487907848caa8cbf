import type { Event, ShownBody } from "./event.ts";

/** bytes of a body in an event: the log's limit of an event leaves room for two of them */
export const EVENT_BODY = 16 * 1024;
/** bytes of a body that a decision may be about */
export const DECIDE_BODY = 256 * 1024;

/** Bytes of a body that a hook gets, at most; 0: none. */
export function bodyLimit({ include_body }: { readonly include_body?: boolean | number | undefined }): number {
  return include_body === true ? EVENT_BODY : include_body === false || include_body === undefined ? 0 : include_body;
}

/** A shown body for a reader who asked for less of it. */
export function cutBody(body: ShownBody, cap: number): ShownBody {
  const bytes = Buffer.from(body.content, body.encoding);
  if (bytes.length <= cap) return body;
  const kept = bytes.subarray(0, body.encoding === "utf8" ? wholeCharacters(bytes, cap) : cap);
  return { ...body, content: kept.toString(body.encoding), truncated: true };
}

/** An event as everybody may see it: bodies are for the hooks that asked for them. */
export function withoutBodies(event: Event): Event {
  if (!("request_body" in event) && !("response_body" in event)) return event;
  const { request_body: _request, response_body: _response, ...rest } = event as Event & BodyFields;
  return rest;
}

/** An event for a hook that asked for so much of its bodies. */
export function withBodies(event: Event, cap: number): Event {
  if (cap === 0) return withoutBodies(event);
  const { request_body, response_body } = event as BodyFields;
  if (request_body === undefined && response_body === undefined) return event;
  return {
    ...event,
    ...(request_body === undefined ? {} : { request_body: cutBody(request_body, cap) }),
    ...(response_body === undefined ? {} : { response_body: cutBody(response_body, cap) }),
  };
}

type BodyFields = { readonly request_body?: ShownBody; readonly response_body?: ShownBody };

/** The largest length up to `max` that cuts no character of UTF-8. */
export function wholeCharacters(bytes: Buffer, max: number): number {
  let start = max;
  // back to the first byte of the last character
  while (start > 0 && max - start < 3 && ((bytes[start - 1] ?? 0) & 0xc0) === 0x80) start -= 1;
  const first = bytes[start - 1] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return start - 1 + length <= max ? max : start - 1;
}
