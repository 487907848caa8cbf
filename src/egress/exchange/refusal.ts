import type { Recognition } from "../../providers/types.ts";
import type { Exchange } from "./exchange.ts";
import type { HeaderList } from "./header-list.ts";

/** An answer that the gateway gives itself, instead of the upstream's. */
export type Refusal = {
  readonly status: number;
  /** stable word: policy_denied, identity_mismatch, bad_request, audit_unavailable, upstream_error … */
  readonly error: string;
  readonly host: string;
  readonly port: number;
  readonly rule: string;
  readonly reason: string;
  /** the command that would allow it, or what else to do */
  readonly hint?: string | undefined;
  readonly code?: string | undefined;
};

export type Answer = { readonly status: number; readonly headers: HeaderList; readonly body: Buffer };

/** The refusal as a response: readable by people, by programs, and in the error shape that a provider's own client understands. */
export function answerOf(refusal: Refusal, recognition: Recognition | undefined): Answer {
  const facts = {
    host: refusal.host,
    port: refusal.port,
    rule: refusal.rule,
    reason: refusal.reason,
    ...(refusal.hint === undefined ? {} : { hint: refusal.hint }),
    ...(refusal.code === undefined ? {} : { code: refusal.code }),
  };
  const body = Buffer.from(`${JSON.stringify({ ...shaped(refusal, recognition), ...facts })}\n`);
  const headers = [
    "content-type",
    "application/json",
    "content-length",
    String(body.length),
    "cache-control",
    "no-store",
    // OpenAI's, Anthropic's and others' clients retry 408, 409, 429 and 5xx unless told not to
    "x-should-retry",
    "false",
    "x-agentkernel-denied",
    headerSafe(refusal.rule),
  ];
  return { status: refusal.status, headers, body };
}

function shaped(refusal: Refusal, recognition: Recognition | undefined): Record<string, unknown> {
  if (recognition === undefined) return { error: refusal.error };
  const message = refusal.hint === undefined ? refusal.reason : `${refusal.reason} (${refusal.hint})`;
  const { shape } = recognition;
  if (shape.startsWith("anthropic")) {
    return { type: "error", error: { type: refusal.status === 403 ? "permission_error" : "api_error", message }, code: refusal.error };
  }
  if (shape.startsWith("google")) {
    const status = refusal.status === 403 ? "PERMISSION_DENIED" : "UNAVAILABLE";
    return { error: { code: refusal.status, message, status }, code: refusal.error };
  }
  if (shape.startsWith("cohere") || shape.startsWith("bedrock")) return { message, error: refusal.error };
  // OpenAI's shape, which most others speak
  return { error: { message, type: refusal.error, param: null, code: refusal.error } };
}

/** Sends the refusal and marks the exchange by it. */
export function refuse(exchange: Exchange, refusal: Refusal): void {
  const { downstream } = exchange;
  if (downstream.headSent) {
    downstream.reset();
    return;
  }
  const answer = answerOf(refusal, exchange.recognition);
  exchange.status = answer.status;
  downstream.head(answer.status, REASONS[answer.status] ?? "", answer.headers);
  if (exchange.method !== "HEAD") {
    exchange.bytesIn += answer.body.length;
    downstream.write(answer.body);
  }
  downstream.end([]);
}

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  405: "Method Not Allowed",
  417: "Expectation Failed",
  421: "Misdirected Request",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Rule names come from configuration; a header value is visible ASCII. */
function headerSafe(text: string): string {
  return text.replace(/[^\x21-\x7e]+/g, "_").slice(0, 200);
}

/** A whole HTTP/1.1 response, for connections that never got as far as an exchange. */
export function rawAnswer(refusal: Refusal): string {
  const answer = answerOf(refusal, undefined);
  let text = `HTTP/1.1 ${answer.status} ${REASONS[answer.status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < answer.headers.length; i += 2) text += `${answer.headers[i] ?? ""}: ${answer.headers[i + 1] ?? ""}\r\n`;
  return `${text}connection: close\r\n\r\n${answer.body.toString()}`;
}
