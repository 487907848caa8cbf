import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { ContextTable } from "./contexts.ts";
import { migrate } from "./migrations.ts";
import { openStore } from "./open-store.ts";
import { Sql } from "./sql.ts";

const CALL = { sandbox: "one", provider: "openai" };
const DAY = 24 * 3_600_000;

function table(limits?: ConstructorParameters<typeof ContextTable>[1]) {
  const sql = new Sql(":memory:", new DatabaseSync(":memory:"));
  migrate(sql);
  const count = (): unknown => Number(sql.get("SELECT count(*) AS count FROM llm_contexts")?.["count"]);
  return { contexts: new ContextTable(sql, limits), count, [Symbol.dispose]: () => sql[Symbol.dispose]() };
}

test("a context is known by the answer it ended with, to the sandbox and the provider that had it", () => {
  using at = table();
  const { contexts } = at;
  contexts.after(CALL, "resp_1", 20_000, 1);
  contexts.after({ ...CALL, previousResponseId: "resp_1" }, "resp_2", 30_000, 1);
  expect(contexts.before({ ...CALL, previousResponseId: "resp_2" }, 1)).toBe(30_000);
  // a branch from the first goes on from the first
  expect(contexts.before({ ...CALL, previousResponseId: "resp_1" }, 1)).toBe(20_000);
  expect(contexts.before({ ...CALL, previousResponseId: "resp_3" }, 1)).toBe(0);
  expect(contexts.before(CALL, 1)).toBe(0);
  expect(contexts.before({ ...CALL, sandbox: "two", previousResponseId: "resp_2" }, 1)).toBe(0);
  expect(contexts.before({ ...CALL, provider: "azure", previousResponseId: "resp_2" }, 1)).toBe(0);
  // an id of the one kind is none of the other
  expect(contexts.before({ ...CALL, conversationId: "resp_2" }, 1)).toBe(0);
  // nothing to know it by
  contexts.after(CALL, null, 5, 1);
  expect(at.count()).toBe(2);
});

test("a conversation is as long as its last call left it", () => {
  using at = table();
  at.contexts.after({ ...CALL, conversationId: "conv_1" }, "resp_1", 500, 1);
  at.contexts.after({ ...CALL, conversationId: "conv_1" }, null, 900, 2);
  expect(at.contexts.before({ ...CALL, conversationId: "conv_1" }, 3)).toBe(900);
  expect(at.contexts.before({ ...CALL, conversationId: "conv_1", previousResponseId: "resp_1" }, 3)).toBe(900);
});

test("other processes know it, and so does the next one; its ids are not on disk", async () => {
  const dir = mkdtempSync(join(tmpdir(), "agentkernel-test-"));
  try {
    const file = join(dir, "state.db");
    const first = openStore(file, { log: silentLog });
    first.contexts.after({ ...CALL, conversationId: "conv_private" }, "resp_private", 7_000, 1);
    await using beside = openStore(file, { log: silentLog });
    expect(beside.contexts.before({ ...CALL, previousResponseId: "resp_private" }, 2)).toBe(7_000);
    await first[Symbol.asyncDispose]();
    await using next = openStore(file, { log: silentLog });
    expect(next.contexts.before({ ...CALL, conversationId: "conv_private" }, 2)).toBe(7_000);
    for (const name of [file, `${file}-wal`]) expect(readFileSync(name).includes("private")).toBe(false);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("what was longest not used is forgotten first, and what was not used for long; their number is bounded", () => {
  using at = table({ count: 200, keepMs: 30 * DAY });
  const { contexts } = at;
  const before = (id: string, nowMs: number): number => contexts.before({ ...CALL, previousResponseId: id }, nowMs);
  contexts.after(CALL, "kept", 1, 0);
  contexts.after(CALL, "lost", 2, 1);
  expect(before("kept", 2 * DAY)).toBe(1);
  for (let i = 0; i < 1_000; i += 1) contexts.after(CALL, `r${i}`, i, 2 * DAY - 1_000 + i);
  expect(at.count()).toBeLessThanOrEqual(300);
  expect([before("kept", 2 * DAY), before("lost", 2 * DAY), before("r999", 2 * DAY)]).toEqual([1, 0, 999]);
  for (let i = 0; i < 100; i += 1) contexts.after(CALL, "late", i, 33 * DAY);
  expect(at.count()).toBe(1);
  expect([before("kept", 33 * DAY), before("late", 33 * DAY)]).toEqual([0, 99]);
});
