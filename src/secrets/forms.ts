/** A text as it appears in other data, and what has just as many bytes to put in its place. */
export type Form = { readonly bytes: Buffer; readonly instead: Buffer };

const unicode = (character: string): string => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
const NAMED: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const html = (apostrophe: string, others: RegExp) => (text: string) =>
  text.replace(
    others,
    (character) =>
      NAMED[character] ?? (character === "'" ? apostrophe : `&#x${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()};`),
  );

/** How writers of JSON (Go; .NET) and of HTML (most; Handlebars; Mustache) escape what a key may hold. */
const ESCAPES: readonly ((text: string) => string)[] = [
  (text) => JSON.stringify(text).slice(1, -1),
  (text) => JSON.stringify(text).slice(1, -1).replace(/[&<>]/g, unicode),
  (text) => text.replace(/["&'+<>`]/g, (character) => unicode(character).toUpperCase().replace("U", "u")),
  html("&#39;", /[&<>"']/g),
  html("&#x27;", /[&<>"'`=]/g),
  html("&#39;", /[&<>"'`=/]/g),
];

/** Shorter texts appear by chance in everything. */
const MIN_LENGTH = 8;

/**
 * The forms in which a value travels: as it is, percent-encoded, escaped as writers of JSON and HTML do, and inside base64 at
 * each of its three alignments, in both alphabets. Each with the same form of `instead`, cut or filled to the same length, so that
 * lengths and framing stay true. None for a value of under eight characters.
 */
export function formsOf(value: string, instead: string): readonly Form[] {
  if (value.length < MIN_LENGTH) return [];
  const fitted = fit(instead, value.length);
  const texts: (readonly [string, string])[] = [[value, fitted]];
  const add = (text: string, other: string): void => {
    if (text.length >= MIN_LENGTH && !texts.some(([known]) => known === text)) texts.push([text, fit(other, text.length)]);
  };
  const encoded = encodeURIComponent(value);
  add(encoded, instead);
  add(
    encoded.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
    instead,
  );
  add(allEscaped(value), allEscaped(fitted));
  add(allEscaped(value).toLowerCase(), allEscaped(fitted).toLowerCase());
  add(value.replaceAll("/", "\\/"), instead);
  for (const escape of ESCAPES) add(escape(value), escape(fitted));
  for (const alignment of [0, 1, 2]) {
    const [text, other] = [inBase64(value, alignment), inBase64(fitted, alignment)];
    add(text, other);
    add(urlSafe(text), urlSafe(other));
  }
  return texts.map(([text, other]) => ({ bytes: Buffer.from(text, "latin1"), instead: Buffer.from(other, "latin1") }));
}

function fit(text: string, length: number): string {
  return text.length >= length ? text.slice(0, length) : text.padEnd(length, "x");
}

/** The characters that depend on the value alone, wherever in an encoded text it begins. */
function inBase64(value: string, alignment: number): string {
  const encoded = Buffer.from(`${"\0".repeat(alignment)}${value}`, "latin1").toString("base64");
  const first = Math.ceil((alignment * 8) / 6);
  const last = Math.floor(((alignment + value.length) * 8) / 6);
  return encoded.slice(first, last);
}

function urlSafe(text: string): string {
  return text.replaceAll("+", "-").replaceAll("/", "_");
}

function allEscaped(text: string): string {
  return [...text].map((character) => `%${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, "0")}`).join("");
}
