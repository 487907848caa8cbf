import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { type BodyChange, type BodyGuard, PassingBody } from "./request-body.ts";

const late: BodyGuard = { chunk: () => false, end: () => Promise.resolve(false), isLate: true };

/** Holds everything to the end of a line. */
function lines(): BodyChange {
  let held = "";
  return {
    write: (bytes) => {
      held += bytes.toString();
      const end = held.lastIndexOf("\n") + 1;
      const whole = held.slice(0, end).toUpperCase();
      held = held.slice(end);
      return whole.includes("BAD") ? undefined : whole === "" ? [] : [Buffer.from(whole)];
    },
    end: () => held === "",
  };
}

async function read(pieces: readonly string[], prepare: (body: PassingBody) => void, held = 1): Promise<string> {
  const buffers = pieces.map((piece) => Buffer.from(piece));
  const source = new Readable({ read: () => undefined });
  const body = new PassingBody(source, buffers.slice(0, held), () => undefined);
  prepare(body);
  for (const piece of buffers.slice(held)) source.push(piece);
  source.push(null);
  let text = "";
  for await (const chunk of body) text += String(chunk);
  return text;
}

it.each([0, 1, 2, 3])("goes on when all of the %i pieces that were there are held", async (held) => {
  const pieces = ["one ", "two ", "three\n", "four\n"];
  expect(await read(pieces, (body) => body.guard(late, () => undefined), held)).toBe("one two three\nfour\n");
  expect(await read(pieces, (body) => body.change(lines(), () => undefined), held)).toBe("ONE TWO THREE\nFOUR\n");
  const both = (body: PassingBody): void => {
    body.guard(late, () => undefined);
    body.change(lines(), () => undefined);
  };
  expect(await read(pieces, both, held)).toBe("ONE TWO THREE\nFOUR\n");
});

it.each([
  ["what may not go on", ["good\n", "bad\n", "more\n"]],
  ["what may not end so", ["good\n", "half"]],
])("breaks off at %s, once, and says so first", async (_name, pieces) => {
  let faults = 0;
  await expect(read(pieces, (body) => body.change(lines(), () => (faults += 1)))).rejects.toThrow("must not leave");
  expect(faults).toBe(1);
});
