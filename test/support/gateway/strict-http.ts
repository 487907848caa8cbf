/**
 * HTTP/1.1 requests read to the letter of RFC 9112, slowly and on the whole input: what a reader that forgives nothing makes of a
 * connection's bytes. The gateway may read less than this, and nothing else.
 */
export type StrictRequest = {
  readonly method: string;
  readonly target: string;
  /** as sent, names and values in turn */
  readonly headers: readonly string[];
  readonly body: string;
  /** the body came to its end */
  readonly complete: boolean;
};

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** @param text latin1; the requests up to the first fault or the end */
export function readStrictly(text: string): readonly StrictRequest[] {
  const requests: StrictRequest[] = [];
  let at = 0;
  for (;;) {
    // RFC 9112 §2.2: empty lines before a request are to be ignored; ends of lines that stand there alone frame nothing either
    while (text[at] === "\r" || text[at] === "\n") at += 1;
    const end = text.indexOf("\r\n\r\n", at);
    if (end === -1) return requests;
    const head = headOf(text.slice(at, end));
    if (head === undefined) return requests;
    const { length, chunked, ...request } = head;
    const body = chunked ? chunkedBody(text, end + 4) : plainBody(text, end + 4, length);
    requests.push({ ...request, body: body.bytes, complete: body.next !== undefined });
    if (body.next === undefined) return requests;
    at = body.next;
  }
}

function headOf(text: string) {
  const [first = "", ...lines] = text.split("\r\n");
  // RFC 9112 §3: words may be told apart by any white space; the gateway writes its own line anyway
  const line = /^([A-Z-]+) +([\x21-\x7e\x80-\xff]+) +HTTP\/1\.([01])$/.exec(first);
  if (line === null) return undefined;
  const headers: string[] = [];
  for (const one of lines) {
    const colon = one.indexOf(":");
    const [name, value] = [one.slice(0, colon), one.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
    // oxlint-disable-next-line no-control-regex -- RFC 9110 §5.5
    if (colon === -1 || !TOKEN.test(name) || /[\x00-\x08\x0a-\x1f\x7f]/.test(value)) return undefined;
    headers.push(name, value);
  }
  const all = (wanted: string): readonly string[] => headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === wanted);
  const [codings, lengths, hosts] = [all("transfer-encoding"), all("content-length"), all("host")];
  // one that is missing is refused with an answer, and frames nothing
  if (hosts.length > 1 || codings.length > 1 || lengths.length > 1 || codings.length + lengths.length > 1) return undefined;
  if (codings.length === 1 && (codings[0]?.toLowerCase() !== "chunked" || line[3] === "0")) return undefined;
  if (lengths.length === 1 && !/^\d{1,15}$/.test(lengths[0] ?? "")) return undefined;
  return { method: line[1] ?? "", target: line[2] ?? "", headers, chunked: codings.length === 1, length: Number(lengths[0] ?? 0) };
}

type Body = {
  readonly bytes: string /** where the next request begins; undefined: the body has no end */;
  readonly next: number | undefined;
};

function plainBody(text: string, at: number, length: number): Body {
  return { bytes: text.slice(at, at + length), next: text.length < at + length ? undefined : at + length };
}

function chunkedBody(text: string, from: number): Body {
  let bytes = "";
  let at = from;
  for (;;) {
    const end = text.indexOf("\r\n", at);
    const line = end === -1 ? null : /^([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text.slice(at, end));
    if (line === null) return { bytes, next: undefined };
    const size = Number.parseInt(line[1] ?? "", 16);
    at = end + 2;
    if (size === 0) return { bytes, next: afterTrailers(text, at) };
    bytes += text.slice(at, at + size);
    if (text.slice(at + size, at + size + 2) !== "\r\n") return { bytes, next: undefined };
    at += size + 2;
  }
}

function afterTrailers(text: string, from: number): number | undefined {
  let at = from;
  for (;;) {
    const end = text.indexOf("\r\n", at);
    if (end === -1) return undefined;
    if (end === at) return end + 2;
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/.test(text.slice(at, end))) return undefined;
    at = end + 2;
  }
}
