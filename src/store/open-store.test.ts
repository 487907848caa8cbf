import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLog } from "../base/log.ts";
import { migrate } from "./migrations.ts";
import { openStore } from "./open-store.ts";
import { Sql } from "./sql.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "agentkernel-test-"));
  file = join(dir, "state", "state.db");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const open = () => openStore(file, { log: silentLog });

describe("openStore", () => {
  it("makes a private file in a private directory and finds its content again", async () => {
    const store = open();
    expect(store.meta.ensure("installation", () => "one")).toBe("one");
    for (const [path, mode] of [
      [join(dir, "state"), 0o700],
      [file, 0o600],
      [`${file}-wal`, 0o600],
    ] as const)
      expect(statSync(path).mode & 0o777).toBe(mode);
    await store[Symbol.asyncDispose]();
    await using again = open();
    expect(again.meta.ensure("installation", () => "two")).toBe("one");
    expect(again.meta.get("nothing")).toBeUndefined();
    again.meta.set("k", "1");
    again.meta.set("k", "2");
    expect(again.meta.get("k")).toBe("2");
    again.meta.remove("k");
    expect(again.meta.get("k")).toBeUndefined();
  });

  it("refuses a newer schema in one line", async () => {
    await open()[Symbol.asyncDispose]();
    const database = new DatabaseSync(file);
    database.exec("PRAGMA user_version = 99");
    database.close();
    expect(open).toThrow(
      expect.objectContaining({ code: "STATE_NEWER", message: expect.stringMatching(/schema 99, this program knows up to \d+$/) }),
    );
  });

  it("says what to do about a damaged file", () => {
    mkdirSync(join(dir, "state"));
    writeFileSync(file, "this is not a database, but long enough to be looked at by SQLite ".repeat(20));
    expect(open).toThrow(expect.objectContaining({ code: "STATE_UNUSABLE", hint: expect.stringContaining(`mv ${file}`) }));
    expect(readFileSync(file, "utf8")).toContain("not a database");
  });

  it("says so when pages inside are damaged", async () => {
    const store = open();
    for (let index = 0; index < 200; index += 1) store.meta.set(`k${index}`, "x".repeat(200));
    await store[Symbol.asyncDispose]();
    const bytes = readFileSync(file);
    bytes.fill(0xff, 4096);
    writeFileSync(file, bytes);
    expect(() => open().meta.get("k1")).toThrow(expect.objectContaining({ code: "STATE_UNUSABLE" }));
  });

  it("says so when the path cannot be a file", () => {
    mkdirSync(file, { recursive: true });
    expect(open).toThrow(expect.objectContaining({ code: "STATE_UNUSABLE" }));
    rmSync(file, { recursive: true });
    writeFileSync(join(dir, "elsewhere"), "");
    symlinkSync(join(dir, "elsewhere"), file);
    expect(open).toThrow(expect.objectContaining({ code: "STATE_UNUSABLE" }));
  });

  it("takes rights away that others were given", async () => {
    await open()[Symbol.asyncDispose]();
    chmodSync(file, 0o644);
    await open()[Symbol.asyncDispose]();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("syncs in the background what was written, and on demand", async () => {
    const store = open();
    store.sandboxes.insert({ uuid: "u1", name: "web", labels: {}, state: "running", createdAt: 1 });
    await Promise.all([store.flush(), store.flush()]);
    await store[Symbol.asyncDispose]();
  });
});

describe("migrations", () => {
  it("are applied in order, once, and all or none", () => {
    const sql = new Sql(":memory:", new DatabaseSync(":memory:"));
    const first = "CREATE TABLE a (x INTEGER) STRICT";
    migrate(sql, [first]);
    sql.run("INSERT INTO a VALUES (1)");
    expect(() => migrate(sql, [first, "CREATE TABLE b (x INTEGER) STRICT", "CREATE nonsense"])).toThrow();
    expect(sql.get("PRAGMA user_version")).toEqual({ user_version: 1n });
    expect(sql.all("SELECT name FROM sqlite_schema")).toEqual([{ name: "a" }]);
    migrate(sql, [first, "ALTER TABLE a ADD COLUMN y TEXT", "UPDATE a SET y = 'z'"]);
    expect(sql.get("SELECT * FROM a")).toEqual({ x: 1n, y: "z" });
    expect(sql.get("PRAGMA user_version")).toEqual({ user_version: 3n });
  });
});
