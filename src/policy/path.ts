/**
 * A request path as policy sees it.
 * - `path`: decoded once, ready to match.
 * - `ambiguous`: servers disagree on what it names (`%2f`, `//` inside, `;`, bytes that are not UTF-8). Clients send such paths for good
 *   reasons (`/@scope%2fname` of npm), so only a rule that looks at paths has to refuse them.
 * - `invalid`: no client sends it unless it means to confuse (dot segments in any spelling, `\`, control characters, `#`).
 */
export type NormalPath =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "ambiguous"; readonly reason: string }
  | { readonly kind: "invalid"; readonly reason: string };

/** Longest path that is looked at, in characters; longer ones are invalid. */
const MAX_PATH = 32_768;

/** Paths that were normalised before: an agent asks for the same few over and over, and each is looked at several times. */
const NORMALISED = new Map<string, NormalPath>();
const MAX_NORMALISED = 500;
const MAX_REMEMBERED = 256;

/** Normalises a path as sent, without query. `*` (RFC 9112 §3.2.4, OPTIONS) stands for itself. */
export function normalisePath(raw: string): NormalPath {
  if (raw.length > MAX_REMEMBERED) return normalise(raw);
  let normal = NORMALISED.get(raw);
  if (normal === undefined) {
    normal = normalise(raw);
    // the sandbox chooses them
    if (NORMALISED.size >= MAX_NORMALISED) NORMALISED.clear();
    NORMALISED.set(raw, normal);
  }
  return normal;
}

/**
 * Google's own client (`@google/genai` to 3.1 at least) writes its WebSockets' addresses as base URL with its slash plus `/ws/…`. `ws`
 * names no host, and Google serves it as one slash; nothing else may begin like that.
 */
const GOOGLE_SOCKET = /^\/\/ws\/google\./;

function normalise(raw: string): NormalPath {
  if (raw === "*") return { kind: "path", path: raw };
  if (raw.length > MAX_PATH) return invalid("is too long");
  if (!raw.startsWith("/")) return invalid("does not start with a slash");
  if (GOOGLE_SOCKET.test(raw)) return normalise(raw.slice(1));
  if (raw.startsWith("//")) return invalid("starts with two slashes, which may name another host");
  if (/[\u0000-\u0020\u007f-\uffff]/.test(raw)) return invalid("has a character that must be percent-encoded");
  if (/[\\#?]/.test(raw)) return invalid("has a backslash, a question mark or a number sign");
  if (/%(?:00|5c|[01][0-9a-f]|7f)/i.test(raw)) return invalid("has an encoded control character or backslash");
  for (const segment of raw.split("/")) {
    // RFC 3986 §6.2.2.3; "%2e" is "." for every URL parser, and servers drop ";parameters" before they compare
    const plain = segment.replace(/%2e/gi, ".").replace(/;.*$/, "");
    if (plain === "." || plain === "..") return invalid("has a dot segment");
  }
  if (raw.includes("//")) return ambiguous("has an empty segment");
  if (/%2f/i.test(raw)) return ambiguous("has an encoded slash");
  if (/;|%3b/i.test(raw)) return ambiguous("has a semicolon, before which some servers cut");
  if (/%25[0-9a-f]{2}/i.test(raw)) return ambiguous("is encoded twice");
  const path = decode(raw);
  return path === undefined ? ambiguous("has a broken percent escape") : { kind: "path", path };
}

/** A path pattern, split at slashes. `*` matches within one segment, a segment `**` matches any number of segments. */
export type PathPattern = { readonly source: string; readonly segments: readonly string[] };

/** @returns the pattern, or why it is none, as the rest of a sentence "the path …" */
export function parsePathPattern(source: string): PathPattern | { readonly kind: "invalid"; readonly reason: string } {
  if (!source.startsWith("/")) return { kind: "invalid", reason: "does not start with a slash" };
  if (source.length > 1024) return { kind: "invalid", reason: "is longer than 1024 characters" };
  if (/[?#\\%]/.test(source) || [...source].some((c) => (c.codePointAt(0) ?? 0) < 0x21)) {
    return { kind: "invalid", reason: "has a character that no decoded path is compared with: ? # \\ %, a space or a control character" };
  }
  const segments = source.slice(1).split("/");
  for (const [index, segment] of segments.entries()) {
    if (segment === "." || segment === "..") return { kind: "invalid", reason: "has a dot segment" };
    if (segment === "" && index < segments.length - 1) return { kind: "invalid", reason: "has an empty segment" };
    if (segment.includes("**") && segment !== "**") return { kind: "invalid", reason: "has ** beside other characters of a segment" };
  }
  return { source, segments };
}

/** Linear in the path for each pattern segment: no pattern makes it backtrack exponentially. */
export function matchesPath(pattern: PathPattern, path: string): boolean {
  if (!path.startsWith("/")) return false;
  const wanted = pattern.segments;
  const given = path.slice(1).split("/");
  return matchSequence(
    wanted.length,
    given.length,
    (w) => wanted[w] === "**",
    (w, g) => matchesSegment(wanted[w] ?? "", given[g] ?? ""),
  );
}

function matchesSegment(pattern: string, text: string): boolean {
  if (!pattern.includes("*")) return pattern === text;
  return matchSequence(
    pattern.length,
    text.length,
    (p) => pattern[p] === "*",
    (p, t) => pattern[p] === text[t],
  );
}

/** Greedy match with one remembered star, for characters and for segments alike: O(pattern × text) at worst. */
function matchSequence(
  patternLength: number,
  textLength: number,
  isStar: (p: number) => boolean,
  isEqual: (p: number, t: number) => boolean,
): boolean {
  let p = 0;
  let t = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (t < textLength) {
    if (p < patternLength && isStar(p)) {
      starAt = p;
      resumeAt = t;
      p += 1;
    } else if (p < patternLength && isEqual(p, t)) {
      p += 1;
      t += 1;
    } else if (starAt !== -1) {
      resumeAt += 1;
      p = starAt + 1;
      t = resumeAt;
    } else return false;
  }
  while (p < patternLength && isStar(p)) p += 1;
  return p === patternLength;
}

function decode(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    return undefined; // URIError, its only one: a bad escape or bytes that are not UTF-8
  }
}

function invalid(reason: string): NormalPath {
  return { kind: "invalid", reason };
}

function ambiguous(reason: string): NormalPath {
  return { kind: "ambiguous", reason };
}
