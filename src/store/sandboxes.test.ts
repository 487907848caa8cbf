import { beforeEach, describe, expect, it } from "vitest";
import { silentLog } from "../base/log.ts";
import { openStore, type Store } from "./open-store.ts";
import type { SandboxRow } from "./sandboxes.ts";

type Record_ = SandboxRow & { readonly image?: string; readonly allow: readonly string[] };

let store: Store<Record_>;
beforeEach(() => {
  store = openStore<Record_>(":memory:", { log: silentLog });
});

function record(uuid: string, fields: Partial<Record_> = {}): Record_ {
  return { uuid, name: uuid, labels: {}, state: "creating", createdAt: 1, allow: ["a.example"], ...fields };
}

describe("sandboxes", () => {
  it("are kept whole", () => {
    const whole = record("u1", { image: "x", labels: { team: "a b" }, reason: "why" });
    store.sandboxes.insert(whole);
    expect(store.sandboxes.byName("u1")).toEqual(whole);
    expect(store.sandboxes.byUuid("u1")).toEqual(whole);
    expect(store.sandboxes.byName("u2")).toBeUndefined();
  });

  it("have names that are unique among those that are there", () => {
    store.sandboxes.insert(record("u1", { name: "web" }));
    expect(() => store.sandboxes.insert(record("u2", { name: "web" }))).toThrow(expect.objectContaining({ code: "CONFLICT" }));
    store.sandboxes.remove("u1");
    expect(store.sandboxes.byName("web")).toBeUndefined();
    store.sandboxes.insert(record("u2", { name: "web", createdAt: 2 }));
    expect(store.sandboxes.byName("web")?.uuid).toBe("u2");
    expect(store.sandboxes.uuidsOf("web")).toEqual(["u2", "u1"]);
    expect(store.sandboxes.list().map((found) => found.uuid)).toEqual(["u2"]);
  });

  it("change, and an empty reason goes away", () => {
    store.sandboxes.insert(record("u1"));
    store.sandboxes.update("u1", { state: "failed", reason: "no room" });
    expect(store.sandboxes.byUuid("u1")).toMatchObject({ state: "failed", reason: "no room", allow: ["a.example"] });
    store.sandboxes.update("u1", { state: "running", reason: "" });
    expect(store.sandboxes.byUuid("u1")).not.toHaveProperty("reason");
    expect(() => store.sandboxes.update("u2", { state: "running" })).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
    store.sandboxes.remove("u1");
    store.sandboxes.remove("u1");
    store.sandboxes.update("u1", { state: "stopped" });
    expect(store.sandboxes.byUuid("u1")).toBeUndefined();
  });

  it("are found by label, whatever stands in it", () => {
    const odd = `a"b.$[0]' --`;
    store.sandboxes.insert(record("u1", { labels: { [odd]: "x", team: "core" } }));
    store.sandboxes.insert(record("u2", { labels: { team: "web" } }));
    expect(store.sandboxes.list({ label: ["team", "core"] }).map((found) => found.uuid)).toEqual(["u1"]);
    expect(store.sandboxes.list({ label: [odd, "x"] }).map((found) => found.uuid)).toEqual(["u1"]);
    expect(store.sandboxes.list({ label: ["team", "x"] })).toEqual([]);
  });

  it("of a living process are no orphans", () => {
    store.sandboxes.insert(record("u1", { state: "running" }));
    expect(store.sandboxes.markOrphansStopped()).toEqual([]);
    expect(store.sandboxes.byUuid("u1")?.state).toBe("running");
  });

  it("are forgotten some time after their removal, unless they have usage", () => {
    store.sandboxes.insert(record("u1"));
    store.sandboxes.remove("u1", 1000);
    expect(store.sandboxes.prune(1000)).toBe(0);
    expect(store.sandboxes.prune(1001)).toBe(1);
    expect(store.sandboxes.uuidsOf("u1")).toEqual([]);
  });
});

describe("detached commands", () => {
  it("are kept by sandbox", () => {
    const exec = {
      id: "exe_1",
      sandboxUuid: "u1",
      command: ["sleep", "1"],
      pid: 7,
      status: "running",
      exitCode: null,
      startedAt: 5,
    } as const;
    store.detached.insert(exec);
    store.detached.insert({ ...exec, id: "exe_2", startedAt: 4 });
    expect(store.detached.list("u1").map((found) => found.id)).toEqual(["exe_2", "exe_1"]);
    store.detached.finish("exe_1", "failed", 3);
    expect(store.detached.get("u1", "exe_1")).toEqual({ ...exec, status: "failed", exitCode: 3 });
    expect(store.detached.get("u2", "exe_1")).toBeUndefined();
    expect(store.detached.failRunning("u1")).toBe(1);
    store.detached.removeAll("u1");
    expect(store.detached.list("u1")).toEqual([]);
  });
});

describe("secrets", () => {
  it("are bytes with times", () => {
    const bytes = Uint8Array.from([0, 255, 10]);
    store.secrets.set("KEY", bytes, 10);
    store.secrets.set("KEY", Uint8Array.from([1]), 20);
    store.secrets.set("A", bytes, 5);
    expect(store.secrets.list()).toEqual([
      { name: "A", createdAt: 5, updatedAt: 5 },
      { name: "KEY", createdAt: 10, updatedAt: 20 },
    ]);
    expect(store.secrets.get("KEY")).toEqual({ name: "KEY", createdAt: 10, updatedAt: 20, ciphertext: Uint8Array.from([1]) });
    expect(store.secrets.remove("KEY")).toBe(true);
    expect(store.secrets.remove("KEY")).toBe(false);
    expect(store.secrets.get("KEY")).toBeUndefined();
  });
});
