import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLog } from "../base/log.ts";
import { openStore } from "./open-store.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "agentkernel-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("the revision of the secrets", () => {
  it("differs after a rotation even where the clock was set back or stood still", async () => {
    await using store = openStore(join(dir, "state.db"), { log: silentLog });
    const { secrets } = store;
    let before = secrets.revision;
    const changed = (): void => {
      expect(secrets.revision).not.toBe(before);
      before = secrets.revision;
    };
    for (const [name, now] of [
      ["NEW", 2_000],
      ["OLD", 1_000],
      ["OLD", 1_000],
      ["OLD", 500],
    ] as const) {
      secrets.set(name, Buffer.from(name), now);
      changed();
    }
    secrets.remove("OLD");
    changed();
  });
});
