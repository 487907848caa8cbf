import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createPlaceholder, derivedRandom, type RandomSource } from "./placeholder.ts";

/** A replayable stream of bytes. */
function seeded(seed: string): RandomSource {
  return derivedRandom(createHash("sha256").update(seed).digest(), "test");
}

describe("createPlaceholder", () => {
  it.each([
    ["an Anthropic key", `sk-ant-api03-${"aB3-_xYz".repeat(11)}AA`, /^sk-ant-api03-[0-9A-Za-z]+$/],
    ["an OpenAI project key", `sk-proj-${"aB3_xYz9".repeat(18)}`, /^sk-proj-[0-9A-Za-z]+$/],
    ["an OpenAI key", `sk-${"a".repeat(20)}T3BlbkFJ${"b".repeat(20)}`, /^sk-[0-9A-Za-z]+$/],
    ["a Google key", `AIza${"Sy".repeat(17)}9`, /^AIza[0-9A-Za-z]+$/],
    ["a GitHub token", `ghp_${"a1B2".repeat(9)}`, /^ghp_[0-9A-Za-z]+$/],
    ["32 hex digits", "0123456789abcdef0123456789abcdef", /^[0-9a-f]{32}$/],
    ["a UUID", "2f1e9b1c-1d5e-4b6e-8a53-0123456789ab", /^[0-9a-f]{36}$/],
    ["22 characters", "aB3aB3aB3aB3aB3aB3aB3a", /^[0-9A-Za-z]{22}$/],
    ["a prefix that leaves no room", "sk-ant-1234567890abcdefX", /^[0-9A-Za-z]{24}$/],
  ])("has the length and the shape of %s", (_, value, shape) => {
    const placeholder = createPlaceholder(value, [], seeded("shape"));
    expect(placeholder).toMatch(shape);
    expect(placeholder).toHaveLength(value.length);
    expect(placeholder).not.toBe(value);
  });

  it.each([["x"], [""], ["hunter2"], ["sk-short"], ["0123456789012345678901"]])(
    "is longer than %j, which leaves no room for 128 bits",
    (value) => {
      const placeholder = createPlaceholder(value, [], seeded("short"));
      expect(placeholder).toMatch(/^(?:sk-)?[0-9A-Za-z]{22,}$/);
      expect(placeholder.includes(value) && value.length > 3).toBe(false);
    },
  );

  it("carries 128 bits whatever it stands for", () => {
    const sizes: Readonly<Record<string, number>> = { "[0-9]": 10, "[0-9a-f]": 16, "[0-9A-F]": 16, "[0-9a-z]": 36, "[0-9A-Z]": 36 };
    for (const value of [
      "1".repeat(22),
      "1".repeat(40),
      "a".repeat(22),
      "a".repeat(32),
      "A".repeat(25),
      "z".repeat(24),
      "z".repeat(25),
      "aB".repeat(11),
      "sk-zz",
      `sk-${"z".repeat(22)}`,
    ]) {
      const placeholder = createPlaceholder(value, [], seeded(value));
      const drawn = placeholder.startsWith("sk-") ? placeholder.slice(3) : placeholder;
      // the narrowest alphabet that explains what was drawn: an estimate from below
      const size = Object.entries(sizes).find(([pattern]) => new RegExp(`^${pattern}+$`).test(drawn))?.[1] ?? 62;
      expect(drawn.length * Math.log2(size), value).toBeGreaterThanOrEqual(127.9);
    }
  });

  it("never repeats itself and is never part of another", () => {
    const taken: string[] = [];
    for (let i = 0; i < 200; i += 1) taken.push(createPlaceholder(i % 2 === 0 ? "a".repeat(40) : "short", taken));
    expect(new Set(taken).size).toBe(200);
    expect(taken.some((one) => taken.some((other) => other !== one && other.includes(one)))).toBe(false);
  });

  it("draws again when it met one that is taken, and gives up on a source that repeats itself", () => {
    const first = createPlaceholder("a".repeat(30), [], seeded("again"));
    expect(createPlaceholder("a".repeat(30), [first], seeded("again"))).not.toBe(first);
    const constant: RandomSource = (bytes) => new Uint8Array(bytes);
    const stuck = createPlaceholder("z".repeat(30), [], constant);
    expect(() => createPlaceholder("z".repeat(30), [stuck], constant)).toThrow(/repeats/);
  });

  it("draws every character alike", () => {
    const counts = new Map<string, number>();
    const source = seeded("alike");
    for (let i = 0; i < 400; i += 1)
      for (const c of createPlaceholder("zZ9".repeat(50), [], source)) counts.set(c, (counts.get(c) ?? 0) + 1);
    const expected = (400 * 150) / 62;
    expect(counts.size).toBe(62);
    for (const [character, count] of counts) expect(Math.abs(count - expected), character).toBeLessThan(expected * 0.2);
  });

  it("is found again from the same key and context, and from no other", () => {
    const key = Buffer.alloc(32, 7);
    const at = (context: string, by = key) => createPlaceholder("aB3".repeat(20), [], derivedRandom(by, context));
    expect(at("uuid\0KEY")).toBe(at("uuid\0KEY"));
    expect(new Set([at("uuid\0KEY"), at("uuid\0OTHER"), at("other\0KEY"), at("uuid\0KEY", Buffer.alloc(32, 8))]).size).toBe(4);
  });
});
