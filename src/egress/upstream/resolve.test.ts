import { expect, test } from "vitest";
import { inTurn } from "./resolve.ts";

test("so many names are looked up at a time, and one that is asked for meanwhile once", async () => {
  const asked: PromiseWithResolvers<readonly string[]>[] = [];
  const names: string[] = [];
  const resolve = inTurn(
    (name) => {
      names.push(name);
      const answer = Promise.withResolvers<readonly string[]>();
      asked.push(answer);
      return answer.promise;
    },
    2,
    10_000,
  );
  const answers = ["a", "b", "a", "c", "a"].map((name) => resolve(name));
  await new Promise((done) => setImmediate(done));
  expect(names).toEqual(["a", "b"]);
  asked[0]?.resolve(["192.0.2.1"]);
  expect(await Promise.all([answers[0], answers[2], answers[4]])).toEqual([["192.0.2.1"], ["192.0.2.1"], ["192.0.2.1"]]);
  await new Promise((done) => setImmediate(done));
  expect(names).toEqual(["a", "b", "c"]);
  // what is over is asked anew: a name may lead elsewhere by now
  asked[1]?.reject(new Error("no such name"));
  await expect(answers[1]).rejects.toThrow("no such name");
  asked[2]?.resolve([]);
  await answers[3];
  const again = resolve("a");
  await new Promise((done) => setImmediate(done));
  expect(names).toEqual(["a", "b", "c", "a"]);
  asked[3]?.resolve(["192.0.2.2"]);
  expect(await again).toEqual(["192.0.2.2"]);
});

test("a name whose turn does not come in time is refused, and its lookup never begun", async () => {
  const names: string[] = [];
  const held = Promise.withResolvers<readonly string[]>();
  const resolve = inTurn((name) => (names.push(name), held.promise), 1, 20);
  const first = resolve("slow");
  await expect(resolve("late")).rejects.toMatchObject({ code: "TIMEOUT" });
  held.resolve([]);
  await first;
  expect(names).toEqual(["slow"]);
});
