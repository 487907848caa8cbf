/** What the first bytes of a connection look like. */
export type Sniffed = "tls" | "http1" | "h2" | "garbage" | "more";

const PREFACE = "PRI * HTTP/2.0\r\n";

/** Judges the first bytes of a connection; `more` asks for at least one more byte. Never throws. */
export function sniff(bytes: Uint8Array): Sniffed {
  const first = bytes[0];
  if (first === undefined) return "more";
  if (first === 0x16) return "tls";
  // a method is a token (RFC 9110 §9.1), all registered ones are capital letters and hyphens
  if (first < 0x41 || first > 0x5a) return "garbage";
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, PREFACE.length)).toString("latin1");
  if (text === PREFACE.slice(0, text.length)) return text.length === PREFACE.length ? "h2" : "more";
  const space = text.indexOf(" ");
  if (space > 0) return /^[A-Z-]+$/.test(text.slice(0, space)) ? "http1" : "garbage";
  if (!/^[A-Z-]+$/.test(text)) return "garbage";
  // longer than any registered method
  return text.length < PREFACE.length ? "more" : "garbage";
}
