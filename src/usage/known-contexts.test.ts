import { expect, test } from "vitest";
import { KnownContexts } from "./known-contexts.ts";

const CALL = { sandbox: "one", provider: "openai" };

test("a context is known by the answer it ended with, to the sandbox and the provider that had it", () => {
  const contexts = new KnownContexts();
  contexts.after(CALL, "resp_1", 20_000);
  contexts.after({ ...CALL, previousResponseId: "resp_1" }, "resp_2", 30_000);
  expect(contexts.before({ ...CALL, previousResponseId: "resp_2" })).toBe(30_000);
  // a branch from the first goes on from the first
  expect(contexts.before({ ...CALL, previousResponseId: "resp_1" })).toBe(20_000);
  expect(contexts.before({ ...CALL, previousResponseId: "resp_3" })).toBe(0);
  expect(contexts.before(CALL)).toBe(0);
  expect(contexts.before({ ...CALL, sandbox: "two", previousResponseId: "resp_2" })).toBe(0);
  expect(contexts.before({ ...CALL, provider: "azure", previousResponseId: "resp_2" })).toBe(0);
  // an id of the one kind is none of the other
  expect(contexts.before({ ...CALL, conversationId: "resp_2" })).toBe(0);
});

test("a conversation is as long as its last call left it", () => {
  const contexts = new KnownContexts();
  contexts.after({ ...CALL, conversationId: "conv_1" }, "resp_1", 500);
  contexts.after({ ...CALL, conversationId: "conv_1" }, null, 900);
  expect(contexts.before({ ...CALL, conversationId: "conv_1" })).toBe(900);
});

test("what was longest not used is forgotten first", () => {
  const contexts = new KnownContexts(2);
  const before = (id: string): number => contexts.before({ ...CALL, previousResponseId: id });
  contexts.after(CALL, "a", 1);
  contexts.after(CALL, "b", 2);
  expect(before("a")).toBe(1);
  contexts.after(CALL, "c", 3);
  expect([before("a"), before("b"), before("c")]).toEqual([1, 0, 3]);
});
