import { copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import type { guestProgram as findGuestProgram } from "../../src/backends/init/program.ts";
import { runProcess } from "../../src/base/process.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PLATFORM = `${process.platform}-${process.arch}`;

/** A copy of the script with a program of its own, so that nothing here touches what other tests run. */
async function project(path: string): Promise<{ build: (env?: Record<string, string>) => ReturnType<typeof runProcess>; program: string }> {
  await mkdir(join(path, "scripts"));
  await mkdir(join(path, "guest"));
  await copyFile(join(ROOT, "scripts/build-guest.mjs"), join(path, "scripts/build-guest.mjs"));
  await writeFile(join(path, "guest/init.c"), '#include "init.h"\nint part(void);\nint main(void) { return ANSWER + part(); }\n');
  await writeFile(join(path, "guest/init.h"), "#define ANSWER 40\n");
  await writeFile(join(path, "guest/init-part.c"), "int part(void) { return 2; }\n");
  return {
    build: (env = { PATH: "/usr/bin:/bin" }) =>
      runProcess({ argv: [process.execPath, join(path, "scripts/build-guest.mjs")], env, cwd: path, timeoutMs: 60_000 }),
    program: join(path, "guest/build", PLATFORM, "init"),
  };
}

const exitOf = async (program: string): Promise<number> => (await runProcess({ argv: [program], env: {}, timeoutMs: 10_000 })).code;

test("builds what changed, and only that", requires("cc"), async () => {
  await using dir = await tempDir();
  const { build, program } = await project(dir.path);
  expect(await build()).toMatchObject({ code: 0, stdout: Buffer.from("built guest programs: init\n") });
  expect(await exitOf(program)).toBe(42);
  const first = await stat(program);
  expect(await build()).toMatchObject({ code: 0, stdout: Buffer.from("") });
  expect((await stat(program)).ino).toBe(first.ino);
  await writeFile(join(dir.path, "guest/init.h"), "#define ANSWER 50\n");
  await build();
  expect(await exitOf(program)).toBe(52);
});

test("builds at once leave one whole program and nothing else", requires("cc"), async () => {
  await using dir = await tempDir();
  const { build, program } = await project(dir.path);
  const results = await Promise.all([build(), build(), build()]);
  expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
  expect(await exitOf(program)).toBe(42);
  expect((await readdir(join(dir.path, "guest/build", PLATFORM))).sort()).toEqual(["init", "init.sha256"]);
});

test("without a compiler it names the package, unless the program is there already", requires("cc"), async () => {
  await using dir = await tempDir();
  const { build } = await project(dir.path);
  const failed = await build({ PATH: "/nonexistent" });
  expect(failed.code).toBe(125);
  expect(failed.stderr.toString()).toBe("cannot build init: no C compiler found; install one with: apt-get install musl-tools\n");
  await build();
  expect((await build({ PATH: "/nonexistent" })).code).toBe(0);
});

test("a source that does not compile is one line and leaves the old program", requires("cc"), async () => {
  await using dir = await tempDir();
  const { build, program } = await project(dir.path);
  await build();
  await writeFile(join(dir.path, "guest/init-part.c"), "int part(void) { return nonsense; }\n");
  const failed = await build();
  expect(failed.code).toBe(125);
  expect(failed.stderr.toString()).toMatch(/^cannot build init: .*nonsense.*\n$/);
  expect(await exitOf(program)).toBe(42);
});

test("an installed package finds its programs, and says what to do when they are missing", async () => {
  await using dir = await tempDir();
  await mkdir(join(dir.path, "dist/backends/init"), { recursive: true });
  await mkdir(join(dir.path, "dist/base"), { recursive: true });
  await copyFile(join(ROOT, "src/backends/init/program.ts"), join(dir.path, "dist/backends/init/program.ts"));
  for (const name of ["error.ts", "package-root.ts"]) await copyFile(join(ROOT, "src/base", name), join(dir.path, "dist/base", name));
  await writeFile(join(dir.path, "package.json"), '{"name":"agentkernel-ts","version":"0.0.0","type":"module"}');
  const { guestProgram } = (await import(pathToFileURL(join(dir.path, "dist/backends/init/program.ts")).href)) as {
    guestProgram: typeof findGuestProgram;
  };
  expect(() => guestProgram("init")).toThrow(
    expect.objectContaining({ code: "BACKEND_UNAVAILABLE", hint: expect.stringContaining("apt-get install musl-tools") }),
  );
  const path = join(dir.path, "guest/build", PLATFORM, "init");
  await mkdir(join(dir.path, "guest/build", PLATFORM), { recursive: true });
  await writeFile(path, "", { mode: 0o755 });
  expect(guestProgram("init")).toBe(path);
});
