/** A request target taken apart: where it points (absolute form only) and its path, as sent. */
export type ParsedTarget = {
  /** `host[:port]` and scheme of an absolute-form target */
  readonly authority: string | undefined;
  readonly scheme: "http" | "https" | undefined;
  /** as sent, without query */
  readonly path: string;
  /** with its `?`, or empty */
  readonly query: string;
};

export type TargetFault = { readonly reason: string };

/**
 * Parses a request target (RFC 9112 §3.2). The path is policy's to judge: it normalises for itself and denies, by rule `path`, what
 * servers read differently (dot segments in any spelling, backslashes, a leading `//`).
 */
export function parseTarget(target: string): ParsedTarget | TargetFault {
  let rest = target;
  let authority: string | undefined;
  let scheme: "http" | "https" | undefined;
  if (rest.charCodeAt(0) !== 0x2f) {
    const absolute = /^(https?):\/\/([^/?#]*)(.*)$/is.exec(rest);
    if (absolute === null) return { reason: "the request target is neither a path nor an http URL" };
    scheme = (absolute[1] ?? "").toLowerCase() === "https" ? "https" : "http";
    authority = absolute[2] ?? "";
    rest = absolute[3] ?? "";
    if (rest === "" || rest.startsWith("?")) rest = `/${rest}`;
  }
  // oxlint-disable-next-line no-control-regex -- exactly these must not pass
  if (/[\x00-\x20\x7f#]/.test(rest)) return { reason: "the request target holds a fragment, a space or a control character" };
  const mark = rest.indexOf("?");
  const path = mark === -1 ? rest : rest.slice(0, mark);
  const query = mark === -1 ? "" : rest.slice(mark);
  return { authority, scheme, path, query };
}
