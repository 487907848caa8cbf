// Compiles the programs that run inside a sandbox: guest/*.c into guest/build/<platform>-<arch>/. Plain JavaScript for Node 20.
//
// A program is built again only when its sources or flags changed (a hash beside it says which were used), so one that a
// package brings along needs no compiler.
// The result is renamed into place, so that two builds at once, or a build beside a running sandbox, do no harm.
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const GUEST = join(dirname(fileURLToPath(import.meta.url)), "..", "guest");

/** each is made of NAME.c and the files NAME.h, NAME-*.c and NAME-*.h beside it */
const PROGRAMS = ["init", "launcher", "net-helper"];

/** kernel headers lie outside musl's own include path; /usr/include last, so that musl's libc headers win */
const MUSL_INCLUDES = {
  x64: ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"],
  arm64: ["-idirafter", "/usr/include", "-idirafter", "/usr/include/aarch64-linux-gnu"],
};

const FLAGS = ["-static", "-Os", "-s", "-std=gnu17", "-Wall", "-Wextra", "-fno-strict-aliasing", "-D_FORTIFY_SOURCE=0"];

/** The first compiler on PATH, with the arguments it needs; undefined when there is none. */
function findCompiler() {
  const found = (name) =>
    (process.env.PATH ?? "").split(delimiter).some((directory) => directory !== "" && existsSync(join(directory, name)));
  if (found("musl-gcc")) return ["musl-gcc", ...(MUSL_INCLUDES[process.arch] ?? [])];
  if (found("gcc")) return ["gcc"];
  if (found("cc")) return ["cc"];
  return undefined;
}

function sourcesOf(name) {
  const belongs = (file) => file === `${name}.c` || file === `${name}.h` || (file.startsWith(`${name}-`) && /\.[ch]$/.test(file));
  return readdirSync(GUEST).filter(belongs).sort();
}

class BuildError extends Error {}

/** Builds one program; returns "built", "current" or "absent" (its source does not exist). */
function build(name, outDir, compiler) {
  const sources = sourcesOf(name);
  if (!sources.includes(`${name}.c`)) return "absent";
  const paths = sources.map((source) => join(GUEST, source));
  const target = join(outDir, name);
  const stamp = join(outDir, `${name}.sha256`);
  const contents = createHash("sha256").update(FLAGS.join(" "));
  for (const path of paths) contents.update(readFileSync(path)).update("\0");
  const buildId = contents.digest("hex").slice(0, 16);
  const wanted = `${buildId}\n`;
  if (existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return "current";
  if (compiler === undefined)
    throw new BuildError(`cannot build ${name}: no C compiler found; install one with: apt-get install musl-tools`);

  mkdirSync(outDir, { recursive: true });
  const temporary = join(outDir, `.${name}.${process.pid}.${randomBytes(4).toString("hex")}`);
  try {
    const [command, ...includes] = compiler;
    const args = [...includes, ...FLAGS, `-DBUILD_ID="${buildId}"`, ...paths.filter((path) => path.endsWith(".c")), "-o", temporary];
    const result = spawnSync(command, args, { encoding: "utf8", timeout: 120_000 });
    if (result.error) throw new BuildError(`cannot build ${name}: ${command}: ${result.error.message}`);
    if (result.status !== 0) {
      const said =
        result.stderr.split("\n").find((line) => /error|undefined reference|cannot find/.test(line)) ??
        result.stderr.trim().split("\n").at(-1);
      throw new BuildError(`cannot build ${name}: ${command} failed: ${said}; a static C library is needed: apt-get install musl-tools`);
    }
    chmodSync(temporary, 0o755);
    renameSync(temporary, target);
    writeFileSync(temporary, wanted);
    renameSync(temporary, stamp);
  } finally {
    rmSync(temporary, { force: true });
  }
  return "built";
}

/** Builds what is missing or changed; returns what it did with each program. */
export function buildGuest(options = {}) {
  if (process.platform !== "linux") throw new BuildError(`sandboxes need Linux (this is ${process.platform}); on Windows use WSL2`);
  const outDir = options.outDir ?? join(GUEST, "build", `${process.platform}-${process.arch}`);
  const compiler = findCompiler();
  const done = {};
  for (const name of options.programs ?? PROGRAMS) done[name] = build(name, outDir, compiler);
  return done;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const done = buildGuest();
    const built = Object.keys(done).filter((name) => done[name] === "built");
    if (built.length > 0) process.stdout.write(`built guest programs: ${built.join(", ")}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof BuildError ? error.message : (error?.stack ?? error)}\n`);
    process.exitCode = 125;
  }
}
