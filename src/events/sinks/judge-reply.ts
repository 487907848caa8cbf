import { DELIVERED, type SinkAnswer } from "./sink.ts";
import type { HttpFailure, HttpReply } from "./http-client.ts";

const EXCERPT = 300;

/** What an HTTP answer means where the protocol says nothing of its own (audit.md A2.3, hooks.md 3). */
export function judgeReply(reply: HttpReply | HttpFailure, now: number): SinkAnswer {
  if ("failure" in reply) return { kind: "retry", reason: reply.failure };
  const { status } = reply;
  if (status >= 200 && status < 300) return DELIVERED;
  const reason = reasonOf(reply);
  if (status === 401 || status === 403 || status === 410) return { kind: "paused", reason };
  if (status === 400 || status === 413 || status === 422) return { kind: "rejected", reason, rest: "again" };
  // redirects, 404, 405 and the like say nothing about an event: somebody has to correct the address, and until then nothing is lost
  const retryAfterMs = retryAfter(reply.headers["retry-after"], now);
  return { kind: "retry", reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

export function reasonOf({ status, headers, body }: HttpReply): string {
  if (status >= 300 && status < 400)
    return `HTTP ${status}: redirects are not followed${headers["location"] === undefined ? "" : `, it points to ${excerpt(headers["location"])}`}`;
  const text = excerpt(body);
  return `HTTP ${status}${text === "" ? "" : `: ${text}`}`;
}

/** One line of somebody else's text. */
export function excerpt(text: string): string {
  return text
    .slice(0, EXCERPT * 2)
    .replace(/[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .trim()
    .slice(0, EXCERPT);
}

/** RFC 9110 §10.2.3: seconds or a date, in ms from now; undefined when it is neither. */
export function retryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? "";
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2,8},? /.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
