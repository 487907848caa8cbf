import { randomBytes, randomUUID } from "node:crypto";

/** Prefixes of the ids this program hands out; `evt_…` sorts by time. */
export type IdPrefix = "evt" | "exe" | "req" | "chn" | "bud" | "gen";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
let lastMs = 0;
let lastTime = base32(0, 10);
let counter = 0;

/** `prefix_` + 10 characters of time (ms) + 4 of a counter within that ms + 10 random: sorts by creation in one process. */
export function newId(prefix: IdPrefix, nowMs: number = Date.now()): string {
  if (nowMs > lastMs) {
    lastMs = nowMs;
    lastTime = base32(nowMs, 10);
    counter = 0;
  } else {
    counter += 1;
  }
  return `${prefix}_${lastTime}${base32(counter, 4)}${randomText(10)}`;
}

/** A version 4 UUID, the id of a sandbox. */
export function newUuid(): string {
  return randomUUID();
}

function base32(value: number, width: number): string {
  let rest = value;
  let text = "";
  for (let i = 0; i < width; i += 1) {
    text = ALPHABET[rest % 32] + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

// one call to the random generator a kilobyte, since an exchange asks for two ids
let pool = Buffer.alloc(0);
let poolAt = 0;

function randomText(length: number): string {
  if (poolAt + length > pool.length) {
    pool = randomBytes(1024);
    poolAt = 0;
  }
  let text = "";
  for (let i = 0; i < length; i += 1) text += ALPHABET[(pool[poolAt + i] ?? 0) % 32];
  poolAt += length;
  return text;
}
