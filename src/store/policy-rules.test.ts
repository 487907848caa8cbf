import { expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { openStore } from "./open-store.ts";

const allow = { host: "a.example.com", effect: "allow" as const };
const deny = { host: "b.example.com", effect: "deny" as const };

test("rules keep their numbers, and a number is never given twice", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const { policyRules } = store;
  expect([policyRules.list(), policyRules.revision]).toEqual([[], 0]);
  policyRules.replace(
    0,
    {
      keep: [],
      add: [
        { sandboxUuid: null, rule: allow },
        { sandboxUuid: "u", rule: deny },
      ],
    },
    1,
  );
  expect(policyRules.list()).toEqual([
    { id: 1, sandboxUuid: null, rule: allow },
    { id: 2, sandboxUuid: "u", rule: deny },
  ]);
  policyRules.replace(1, { keep: [1], add: [] }, 2);
  policyRules.replace(2, { keep: [1], add: [{ sandboxUuid: null, rule: deny }] }, 3);
  expect(policyRules.list().map(({ id }) => id)).toEqual([1, 3]);
  policyRules.removeOf("u");
  expect(policyRules.list().map(({ id }) => id)).toEqual([1, 3]);
});

test("who read before somebody else wrote changes nothing", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  store.policyRules.replace(0, { keep: [], add: [{ sandboxUuid: null, rule: allow }] }, 1);
  expect(() => store.policyRules.replace(0, { keep: [], add: [] }, 2)).toThrowError(expect.objectContaining({ code: "CONFLICT" }));
  expect(store.policyRules.list()).toHaveLength(1);
});

test("the same content is the same generation; every other content the next", async () => {
  await using store = openStore(":memory:", { log: silentLog });
  const { policyRules } = store;
  expect(["a", "a", "b", "b", "a"].map((print) => policyRules.generationOf(print))).toEqual([1, 1, 2, 2, 3]);
});
