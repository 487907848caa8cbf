import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { statePaths } from "../../src/config/paths.ts";
import type { NewEvent } from "../../src/schema/event.ts";
import { openStore } from "../../src/store/open-store.ts";
import { type AppSetting, appSetting, TEST_CALLER } from "../support/app-setting.ts";
import { llmCall } from "../support/llm-event.ts";
import { receiver } from "../support/receiver.ts";
import { waitFor } from "../support/wait-for.ts";

/** `[audit]` and `[llm] keep_calls`, from the file to what is on the disk. */

const MIB = 1024 ** 2;
const change = (): NewEvent => ({
  type: "admin.change",
  actor: TEST_CALLER.actor,
  outcome: "permit",
  resource_type: "config",
  resource_id: "x",
  operation: "update",
  reason: "x".repeat(1_000),
});

/** Appends until so many bytes were written, or one event was refused. */
async function fill(at: AppSetting, bytes: number): Promise<"taken" | "refused"> {
  for (let sent = 0; sent < bytes; sent += 50 * 1_200) {
    const batch = await Promise.allSettled(Array.from({ length: 50 }, () => at.app.events.log.append(change())));
    if (batch.some(({ status }) => status === "rejected")) return "refused";
  }
  return "taken";
}

async function segmentsOf({ paths }: AppSetting): Promise<readonly { readonly path: string; readonly bytes: number }[]> {
  const names = (await readdir(paths.events, { recursive: true })).filter((name) => /\/\d{16}\.jsonl$/.test(name));
  return Promise.all(names.map(async (name) => ({ path: name, bytes: (await stat(join(paths.events, name))).size })));
}

test("max_bytes bounds the log", async () => {
  await using at = await appSetting('[audit]\nmax_bytes = "1MiB"\n');
  expect(await fill(at, 3 * MIB)).toBe("taken");
  await waitFor(async () => (await segmentsOf(at)).reduce((sum, { bytes }) => sum + bytes, 0) < 1.3 * MIB, { what: "room" });
});

test("max_age removes what is older, segment by segment", async () => {
  await using at = await appSetting('[audit]\nmax_bytes = "8MiB"\nmax_age = "1s"\n');
  await fill(at, 1.2 * MIB);
  const [first] = await segmentsOf(at);
  await waitFor(
    async () => {
      await fill(at, 1);
      return (await segmentsOf(at)).every(({ path }) => path !== first?.path);
    },
    { what: "its removal", timeoutMs: 30_000, intervalMs: 50 },
  );
  // far from what `max_bytes` would have removed
  expect((await segmentsOf(at)).reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(7 * MIB);
}, 60_000);

test.each([
  ["on_full = 'deny'", "refused"],
  ["on_full = 'deny'\non_failure = 'allow'", "taken"],
  ["on_full = 'drop_oldest'", "taken"],
] as const)("%s: past max_bytes, with events that a stream has not had, new ones are %s", async (keys, expected) => {
  await using target = await receiver();
  target.behave(() => ({ status: 503 }));
  await using at = await appSetting(
    `[audit]\nmax_bytes = "1MiB"\n${keys}\n[[audit.streams]]\nname = "siem"\ndestination = { type = "http_webhook", url = "${target.url}" }\n`,
  );
  expect(await fill(at, 3 * MIB)).toBe(expected);
});

test("durability says whether an allowed call is on disk when it is acknowledged", async () => {
  const probe = await open("/dev/null");
  const handles = Object.getPrototypeOf(probe) as { datasync: () => Promise<void> };
  await probe.close();
  const synced = async (toml: string): Promise<boolean> => {
    await using at = await appSetting(toml);
    await at.app.events.log.flush();
    const spy = vi.spyOn(handles, "datasync");
    try {
      await at.app.events.log.append(llmCall());
      return spy.mock.calls.length > 0;
    } finally {
      spy.mockRestore();
    }
  };
  expect([await synced(""), await synced('[audit]\ndurability = "durable"\n')]).toEqual([false, true]);
});

test("keep_calls: single calls go, their sums stay", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    await using at = await appSetting(async (dir) => {
      const { database } = statePaths(
        { get: (name) => (name === "AGENTKERNEL_HOME" || name === "HOME" ? dir : undefined), names: () => [] },
        process.getuid?.() ?? 0,
      );
      await using store = openStore(database, { log: silentLog });
      store.ledger.recordAll([llmCall({ timestamp: new Date(Date.now() - 2 * 3_600_000).toISOString() })]);
      return '[llm]\nkeep_calls = "1h"\n';
    });
    expect(await at.app.usage.events({})).toHaveLength(1);
    const before = await at.app.usage.bySandbox({ all: true });
    vi.advanceTimersByTime(31_000);
    vi.useRealTimers();
    await waitFor(async () => (await at.app.usage.events({})).length === 0, { what: "its end" });
    expect(await at.app.usage.bySandbox({ all: true })).toEqual(before);
  } finally {
    vi.useRealTimers();
  }
});
