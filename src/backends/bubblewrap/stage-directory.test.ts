import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ownIdentity } from "../../base/process-identity.ts";
import { holderName } from "./holder-name.ts";
import { StageDirectory } from "./stage-directory.ts";

let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "stage-"));
});
afterEach(() => rm(base, { recursive: true, force: true }));

test("the same content is placed once, by all who ask at the same time", async () => {
  const [one, two] = await Promise.all([StageDirectory.open(join(base, "s")), StageDirectory.open(join(base, "s"))]);
  const paths = await Promise.all([one, two, one, two].map((stage) => stage.file("content")));
  expect(new Set(paths).size).toBe(1);
  expect(await readFile(paths[0] ?? "", "utf8")).toBe("content");
  expect((await lstat(paths[0] ?? "")).mode & 0o777).toBe(0o444);
  expect((await readdir(join(base, "s"))).length).toBe(2);
});

test("a program that has changed is placed anew, and one cut short is replaced", async () => {
  const stage = await StageDirectory.open(join(base, "s"));
  const source = join(base, "program");
  await writeFile(source, "first");
  const first = await stage.program(source);
  expect((await lstat(first)).mode & 0o777).toBe(0o755);
  await writeFile(source, "second, longer");
  const second = await stage.program(source);
  expect(second).not.toBe(first);
  await writeFile(second, "cut");
  const again = await StageDirectory.open(join(base, "s"));
  expect(await readFile(await again.program(source), "utf8")).toBe("second, longer");
});

test("a directory holds files, links and directories, readable whatever the umask", async () => {
  const stage = await StageDirectory.open(join(base, "s"));
  const entries = {
    "ssl/certs/bundle": { content: "pem" },
    localtime: { symlink: "/usr/share/zoneinfo/UTC" },
    alternatives: { directory: true },
  } as const;
  const before = process.umask(0o077);
  const [path, same] = await Promise.all([stage.directory(entries), stage.directory({ ...entries })]);
  process.umask(before);
  expect(same).toBe(path);
  expect((await lstat(join(path, "ssl/certs"))).mode & 0o777).toBe(0o755);
  expect((await lstat(join(path, "ssl/certs/bundle"))).mode & 0o777).toBe(0o444);
  expect(await readlink(join(path, "localtime"))).toBe("/usr/share/zoneinfo/UTC");
  expect((await readdir(path)).sort()).toEqual(["alternatives", "localtime", "ssl"]);
  expect(await stage.directory({ ...entries, "ssl/certs/bundle": { content: "other" } })).not.toBe(path);
});

test("a directory that others can write to is refused", async () => {
  await chmod(base, 0o777);
  await expect(StageDirectory.open(base)).rejects.toMatchObject({ code: "STATE_UNUSABLE" });
});

test("what a start that was killed left half made is removed, what another makes is not", async () => {
  const path = join(base, "s");
  const stage = await StageDirectory.open(path);
  const whole = await stage.file("whole");
  const ofNow = holderName(ownIdentity(), "0a");
  const ofDead = { ...ownIdentity(), startTicks: "1" };
  await writeFile(join(path, `.${ofNow}`), "");
  await writeFile(join(path, `.${holderName(ofDead, "0b")}`), "");
  await mkdir(join(path, `.${holderName(ofDead, "0c")}`, "ssl"), { recursive: true });
  // as two starts do
  await Promise.all([StageDirectory.open(path), StageDirectory.open(path)]);
  expect((await readdir(path)).sort()).toEqual([`.${ofNow}`, basename(whole), "scratch"].sort());
});
