import { execFile } from "node:child_process";
import { cp, mkdir, readFile, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, afterAll, describe, expect, test } from "vitest";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { tempDir, type TempDir } from "../support/temp.ts";

/** The package as npm makes it, installed into a folder that knows nothing of this checkout. */

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);

describe("the packed package", requires("npm"), () => {
  let dir: TempDir;
  let program = "";
  let packed = "";

  beforeAll(async () => {
    dir = await tempDir({ prefix: "agentkernel-pack-", mode: 0o755 });
    // a copy, so that packing does not build in the checkout that the other tests run from
    const copy = join(dir.path, "checkout");
    await mkdir(copy);
    const { stdout: listed } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root });
    for (const file of listed.split("\0").filter((name) => name !== "")) {
      // a file that is removed and not yet committed
      if ((await stat(join(root, file)).catch(() => undefined)) === undefined) continue;
      await mkdir(dirname(join(copy, file)), { recursive: true });
      await cp(join(root, file), join(copy, file));
    }
    await symlink(join(root, "node_modules"), join(copy, "node_modules"));
    await run("npm", ["pack", "--pack-destination", dir.path, "--loglevel=error"], { cwd: copy, timeout: 120_000 });
    const tarball = (await readdir(dir.path)).find((name) => name.endsWith(".tgz")) ?? "";
    const elsewhere = join(dir.path, "elsewhere");
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, "package.json"), '{"private":true}');
    const args = ["install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    await run("npm", [...args, join(dir.path, tarball)], { cwd: elsewhere, timeout: 240_000 });
    packed = join(elsewhere, "node_modules", "agentkernel-ts");
    program = join(elsewhere, "node_modules", ".bin", "agentkernel");
  }, 400_000);

  afterAll(() => dir?.[Symbol.asyncDispose]());

  test("says its version", async () => {
    await using place = await installation(program);
    const result = await place.run(["--version"]);
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout.toString().trim()).toBe(version);
  });

  test("holds emitted code and the in-sandbox programs, and no source or test", async () => {
    expect(await readdir(packed)).toEqual(expect.arrayContaining(["LICENSE", "README.md", "bin", "dist", "guest", "package.json"]));
    const files = await readdir(packed, { recursive: true });
    expect(files).toContain(`guest/build/linux-${process.arch}/init`);
    expect(files).toContain("dist/cli/main.js");
    expect(files).toContain("dist/program/main.cjs");
    expect(files.filter((name) => /(\.test\.|^src\/|^test\/|\.c?ts$)/.test(name) && !name.endsWith(".d.ts"))).toEqual([]);
  });

  test("the library can be imported by its name", async () => {
    const script = 'import("agentkernel-ts").then((library) => process.stdout.write(String(Object.keys(library).length)))';
    const { stdout } = await run(process.execPath, ["-e", script], { cwd: dirname(dirname(packed)) });
    expect(Number(stdout)).toBeGreaterThan(0);
  });

  test("runs a command in a sandbox", requires("bwrap"), async () => {
    await using place = await installation(program);
    const result = await place.run(["run", "--", "sh", "-c", "echo from inside; exit 7"]);
    expect(result.stderr).toBe("");
    expect([result.code, result.stdout.toString()]).toEqual([7, "from inside\n"]);
  });
});
