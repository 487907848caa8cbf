import { createHmac, randomBytes } from "node:crypto";

/** Bits of chance in every placeholder: it must not be guessed, nor be found by accident in other data. */
const MIN_BITS = 128;

/** Beginnings by which clients check a key before they use it. They say who made it, nothing more. Longest first. */
const KEPT_PREFIXES: readonly string[] = [
  "sk-ant-api03-",
  "sk-ant-oat01-",
  "sk-ant-admin01-",
  "sk-ant-",
  "sk-svcacct-",
  "sk-proj-",
  "sk-or-v1-",
  "sk-or-",
  "sk-",
  "pk-",
  "gsk_",
  "xai-",
  "AIza",
  "github_pat_",
  "ghp_",
  "gho_",
  "ghs_",
  "ghu_",
  "glpat-",
  "hf_",
  "npm_",
  "pplx-",
  "fw_",
  "r8_",
  "tgp_v1_",
  "csk-",
  "nvapi-",
  "xoxb-",
  "xoxp-",
];

/** What a placeholder is drawn from, narrowest first; none needs escaping in headers, URLs, JSON or shells. */
const ALPHABETS: readonly string[] = [
  "0123456789",
  "0123456789abcdef",
  "0123456789ABCDEF",
  "0123456789abcdefghijklmnopqrstuvwxyz",
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
];
const WIDEST = ALPHABETS.at(-1) ?? "";

/** Gives so many random bytes. */
export type RandomSource = (bytes: number) => Uint8Array;

/**
 * A harmless text in the shape of the real value: as long (when that leaves room for 128 random bits, longer otherwise), with the
 * prefix a client checks and the same kind of characters. Never contains one of `taken`, nor is contained in one.
 */
export function createPlaceholder(value: string, taken: readonly string[] = [], random: RandomSource = randomBytes): string {
  const shape = shapeOf(value);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const placeholder = shape.prefix + draw(shape.alphabet, shape.length, random);
    const collides = taken.some((other) => other.includes(placeholder) || placeholder.includes(other));
    if (!collides && !value.includes(placeholder)) return placeholder;
  }
  throw new Error("a random source repeats itself");
}

/**
 * Random bytes that are the same for the same key and context, so that a sandbox finds its placeholder again after a restart in what
 * it has written, without the placeholder being stored. HMAC-SHA-256 in counter mode.
 */
export function derivedRandom(key: Uint8Array, context: string): RandomSource {
  let counter = 0;
  return (bytes) => {
    const blocks: Buffer[] = [];
    for (let size = 0; size < bytes; size += 32) {
      blocks.push(createHmac("sha256", key).update(`agentkernel placeholder\0${counter}\0${context}`).digest());
      counter += 1;
    }
    return Buffer.concat(blocks).subarray(0, bytes);
  };
}

type Shape = { readonly prefix: string; readonly alphabet: string; readonly length: number };

function shapeOf(value: string): Shape {
  const kept = KEPT_PREFIXES.find((prefix) => value.startsWith(prefix)) ?? "";
  // a prefix that leaves no room is dropped before the length is: lengths are what clients and framing check
  for (const prefix of kept === "" ? [""] : [kept, ""]) {
    const length = value.length - prefix.length;
    const alphabet = narrowest(value.slice(prefix.length), length);
    if (alphabet !== undefined) return { prefix, alphabet, length };
  }
  return { prefix: kept, alphabet: WIDEST, length: Math.ceil(MIN_BITS / Math.log2(WIDEST.length)) };
}

/** The narrowest alphabet that holds every character of the text (signs apart) and still gives enough bits. */
function narrowest(text: string, length: number): string | undefined {
  const letters = text.replace(/[^0-9A-Za-z]/g, "");
  const fitting = ALPHABETS.filter((alphabet) => [...letters].every((character) => alphabet.includes(character)));
  return fitting.find((alphabet) => length * Math.log2(alphabet.length) >= MIN_BITS);
}

function draw(alphabet: string, length: number, random: RandomSource): string {
  // bytes past the last whole multiple would make the first characters likelier
  const limit = 256 - (256 % alphabet.length);
  let text = "";
  while (text.length < length) {
    for (const byte of random(length - text.length + 8)) {
      if (byte < limit && text.length < length) text += alphabet[byte % alphabet.length];
    }
  }
  return text;
}
