import type { HeaderList } from "./header-list.ts";

const REDACTED = "[redacted]";
const MAX_URL = 2048;
const MAX_VALUE = 512;

// query parameters that carry credentials: API keys, OAuth, signed URLs of the three big clouds, Azure SAS
const SECRET_PARAMETER =
  /^(?:.*(?:key|token|secret|password|passwd|signature|credential|session|assertion|jwt).*|sig|auth|authorization|code|pwd|x-amz-.*|x-goog-.*|sas|st|se|sv|skoid)$/i;

const SECRET_HEADER =
  /^(?:(?:proxy-)?authorization|cookie|set-cookie|.*(?:api-?key|token|secret|password|signature|credential|session).*|x-goog-iam-.*)$/i;

/** A URL that may be kept: credentials in user info and query replaced, length capped. Never throws. */
export function redactUrl(url: string): string {
  const capped = url.length > MAX_URL ? `${url.slice(0, MAX_URL)}…` : url;
  const mark = capped.indexOf("?");
  const head = (mark === -1 ? capped : capped.slice(0, mark)).replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, `$1${REDACTED}@`);
  if (mark === -1) return head;
  const query = capped
    .slice(mark + 1)
    .split("&")
    .map((pair) => {
      const equals = pair.indexOf("=");
      if (equals === -1) return pair;
      return SECRET_PARAMETER.test(decodeName(pair.slice(0, equals))) ? `${pair.slice(0, equals)}=${REDACTED}` : pair;
    });
  return `${head}?${query.join("&")}`;
}

/** Headers that may be kept: values of credential headers replaced, others capped. */
export function redactHeaders(headers: HeaderList): HeaderList {
  return headers.map((text, i) => {
    if (i % 2 === 0) return text;
    if (SECRET_HEADER.test(headers[i - 1] ?? "")) return REDACTED;
    return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text;
  });
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    // not valid UTF-8 or a broken escape: judged as it stands
    return name;
  }
}
