import { expect, test } from "vitest";
import { Turnstile } from "./turnstile.ts";

test("lets one through per turn of the event loop, in order", async () => {
  const turnstile = new Turnstile();
  const seen: string[] = [];
  let isOver = false;
  const turns = (async () => {
    for (let turn = 0; !isOver; turn += 1) {
      seen.push("turn");
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await Promise.all([1, 2, 3].map(async (number) => turnstile.pass().then(() => seen.push(`passed ${number}`))));
  isOver = true;
  await turns;
  const passed = seen.filter((one) => one !== "turn");
  expect(passed).toEqual(["passed 1", "passed 2", "passed 3"]);
  for (const [index, one] of passed.entries())
    if (index > 0) expect(seen.slice(seen.indexOf(passed[index - 1] ?? ""), seen.indexOf(one))).toContain("turn");
});
