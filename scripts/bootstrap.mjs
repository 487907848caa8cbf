/**
 * Everything that a fresh clone needs, then the program on the project's own Node 24. Plain JavaScript that Node 20 can run, no
 * dependency: this and what it imports run before there is any.
 *
 *     node scripts/bootstrap.mjs setup            only the set-up
 *     node scripts/bootstrap.mjs start [ARG…]     … then `agentkernel demo`
 *     node scripts/bootstrap.mjs test [ARG…]      … then scripts/test.ts
 *     node scripts/bootstrap.mjs exec FILE [ARG…] … then FILE on Node 24
 *     node scripts/bootstrap.mjs build            only what the package contains: dist/ and the in-sandbox programs
 *
 * Each step first looks whether there is anything to do; when there is not, the whole takes a fraction of a second.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { isFile, isRoot, read, root, runQuietly, say, Unable } from "./set-up.mjs";
import { sandboxUser } from "./sandbox-user.mjs";

const nodePackage = `node-linux-${process.arch}`;
const node24 = join(root, "node_modules", nodePackage, "bin", "node");
const setupDir = join(root, ".setup");

/** Exit code for "agentkernel itself could not": the same as the program's own. */
const EXIT_UNABLE = 125;
const LOCK_BUSY = 75;

/** What a machine must have besides Node: any of `paths` says that it is there. */
const PROGRAMS = [
  { paths: ["/usr/bin/bwrap", "/usr/local/bin/bwrap"], apt: "bubblewrap", dnf: "bubblewrap", pacman: "bubblewrap", apk: "bubblewrap" },
  { paths: ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"], apt: "iproute2", dnf: "iproute", pacman: "iproute2", apk: "iproute2" },
  { paths: ["/usr/bin/musl-gcc", "/usr/local/bin/musl-gcc"], apt: "musl-tools", dnf: "musl-gcc", pacman: "musl", apk: "gcc musl-dev" },
  {
    paths: ["/usr/include/linux/seccomp.h"],
    apt: "linux-libc-dev",
    dnf: "kernel-headers",
    pacman: "linux-api-headers",
    apk: "linux-headers",
  },
];

// --- the steps: each has `missing()`, cheap, and `make()` ---

const lockFile = join(root, "package-lock.json");
const lockStamp = join(root, "node_modules", ".agentkernel-lock");
const lockHash = () => createHash("sha256").update(fs.readFileSync(lockFile)).digest("hex");

const dependencies = {
  name: "dependencies",
  missing() {
    if (!isFile(node24)) return true;
    const hash = lockHash();
    if (read(lockStamp) === hash) return false;
    if (!installedMatchesLock()) return true;
    // somebody ran npm themselves; what stands there is what the lock says
    tryWrite(lockStamp, hash);
    return false;
  },
  make() {
    const place = join(root, "node_modules");
    if (fs.lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink()) {
      throw new Unable(
        `node_modules is a link and holds something else than package-lock.json says; set up where it points to: ${fs.readlinkSync(place)}`,
      );
    }
    say("installing dependencies (npm ci)");
    const npmCli = process.env.npm_execpath;
    const viaNode = npmCli !== undefined && /npm-cli\.c?js$/.test(npmCli);
    const [command, prefix] = viaNode ? [process.execPath, [npmCli]] : ["npm", []];
    // no dependency needs an install script, so none may run one; NODE_ENV=production must not drop the build tools
    const args = ["ci", "--include=dev", "--include=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const env = { ...process.env };
    delete env.npm_config_omit;
    delete env.npm_config_production;
    runQuietly("installing dependencies", command, [...prefix, ...args], { env });
    if (!isFile(node24))
      throw new Unable(
        `npm left out ${nodePackage}, the Node 24 that this project brings; run npm ci --include=optional by hand to see why`,
      );
    fs.writeFileSync(lockStamp, lockHash());
  },
};

/** npm writes node_modules/.package-lock.json last, so it stands for a complete installation. */
function installedMatchesLock() {
  const installedText = read(join(root, "node_modules", ".package-lock.json"));
  if (installedText === undefined) return false;
  const wanted = JSON.parse(fs.readFileSync(lockFile, "utf8")).packages;
  const installed = JSON.parse(installedText).packages;
  const same = (name) => wanted[name]?.version === installed[name]?.version && wanted[name]?.integrity === installed[name]?.integrity;
  const complete = Object.keys(wanted).every((name) => name === "" || same(name) || (wanted[name].optional === true && !installed[name]));
  return complete && Object.keys(installed).every((name) => same(name));
}

const programs = {
  name: "system packages",
  absent: () => PROGRAMS.filter((program) => !program.paths.some((path) => fs.existsSync(path))),
  missing() {
    return this.absent().length > 0;
  },
  make() {
    const absent = this.absent();
    const manager = ["apt-get", "dnf", "pacman", "apk"].find((name) => ["/usr/bin/", "/sbin/"].some((dir) => fs.existsSync(dir + name)));
    const key = manager === "apt-get" ? "apt" : manager;
    const names = absent.map((program) => program[key ?? "apt"]).join(" ");
    if (manager === undefined) throw new Unable(`these are needed and no known package manager is here: ${names}`);
    const line = {
      apt: `apt-get update && apt-get install -y ${names}`,
      dnf: `dnf install -y ${names}`,
      pacman: `pacman -S --noconfirm ${names}`,
      apk: `apk add ${names}`,
    }[key];
    if (!isRoot || key !== "apt") throw new Unable(`missing: ${names}. Run this, then try again:\n\n    ${asRoot(line)}\n`);
    say(`installing ${names} (apt-get)`);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    runQuietly("updating the package lists", "apt-get", ["update", "-q"], { env });
    runQuietly(`installing ${names}`, "apt-get", ["install", "-y", "-q", "--no-install-recommends", ...names.split(" ")], { env });
    const still = this.absent().map((program) => program.apt);
    if (still.length > 0) throw new Unable(`apt-get installed ${still.join(" ")}, but the files are not where they are expected`);
  },
};

function asRoot(line) {
  if (isRoot) return line;
  return line
    .split(" && ")
    .map((part) => `sudo ${part}`)
    .join(" && ");
}

/** A fingerprint of files by path, size and time; undefined when there are none. */
function fingerprint(paths, keep) {
  const hash = createHash("sha256");
  let count = 0;
  const visit = (path) => {
    const stat = fs.statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isDirectory()) {
      for (const name of fs.readdirSync(path).sort()) visit(join(path, name));
    } else if (keep(path)) {
      hash.update(`${relative(root, path)}\0${stat.size}\0${stat.mtimeMs}\n`);
      count += 1;
    }
  };
  for (const path of paths) visit(join(root, path));
  return count === 0 ? undefined : hash.digest("hex");
}

const guest = {
  name: "in-sandbox programs",
  script: join(root, "scripts", "build-guest.mjs"),
  output: join(root, "guest", "build", `linux-${process.arch}`),
  stamp: join(setupDir, `guest-${process.arch}`),
  sources: () => fingerprint(["guest", "scripts/build-guest.mjs"], (path) => !path.startsWith(join(root, "guest", "build"))),
  missing() {
    if (!fs.existsSync(this.output) || fs.readdirSync(this.output).length === 0) return true;
    return read(this.stamp) !== this.sources();
  },
  make() {
    say("building the in-sandbox programs");
    const sources = this.sources();
    runQuietly("building the in-sandbox programs", process.execPath, [this.script]);
    tryWrite(this.stamp, sources ?? "");
  },
};

const dist = {
  name: "dist",
  stamp: join(root, "dist", ".stamp"),
  sources: () =>
    fingerprint(
      ["src", "scripts/bundle.mjs", "tsconfig.json", "tsconfig.build.json", "package-lock.json"],
      (path) => !path.endsWith(".test.ts"),
    ),
  missing() {
    return read(this.stamp) !== this.sources();
  },
  make() {
    say("compiling dist/");
    const sources = this.sources();
    const startedAt = new Date();
    const fresh = join(root, `dist.${process.pid}.new`);
    const old = join(root, `dist.${process.pid}.old`);
    try {
      const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
      runQuietly("compiling dist/", node24, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh]);
      runQuietly("bundling dist/program/", node24, [join(root, "scripts", "bundle.mjs"), fresh]);
      // the front compares sources with this file's time: what was saved while the compiler ran counts as newer
      fs.writeFileSync(join(fresh, ".stamp"), sources ?? "");
      fs.utimesSync(join(fresh, ".stamp"), startedAt, startedAt);
      // a swap, so that a program that runs from dist/ meanwhile sees the old tree or the new one, and no leftover of a removed source
      if (fs.existsSync(join(root, "dist"))) fs.renameSync(join(root, "dist"), old);
      fs.renameSync(fresh, join(root, "dist"));
    } finally {
      fs.rmSync(fresh, { recursive: true, force: true });
      fs.rmSync(old, { recursive: true, force: true });
    }
  },
};

/** `npx agentkernel` finds programs in node_modules/.bin; npm links those of dependencies there, not the project's own. */
const binLink = {
  name: "npx link",
  path: join(root, "node_modules", ".bin", "agentkernel"),
  target: "../../bin/agentkernel",
  missing() {
    try {
      return fs.readlinkSync(this.path) !== this.target;
    } catch (error) {
      if (error.code === "ENOENT" || error.code === "EINVAL") return true;
      throw error;
    }
  },
  make() {
    fs.rmSync(this.path, { force: true });
    fs.symlinkSync(this.target, this.path);
  },
};

function tryWrite(path, text) {
  try {
    fs.mkdirSync(dirname(path), { recursive: true });
    fs.writeFileSync(path, text);
  } catch (error) {
    // without the stamp the step is looked at again next time, which is slow but right
    if (!["EACCES", "EROFS", "EPERM"].includes(error.code)) throw error;
  }
}

function checkPlatform() {
  if (process.platform !== "linux") {
    const wsl =
      process.platform === "win32"
        ? "In WSL2 (wsl --install) it runs as on any Linux."
        : "It runs on Linux, also in a Linux virtual machine.";
    throw new Unable(
      `agentkernel needs Linux (namespaces); this is ${process.platform}. ${wsl} A Docker backend for other systems comes later.`,
    );
  }
  if (process.arch !== "x64" && process.arch !== "arm64") throw new Unable(`agentkernel runs on x64 and arm64; this is ${process.arch}`);
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) throw new Unable(`set-up needs Node 20 or newer to begin with; this is ${process.versions.node}`);
}

/** Does what is missing, under a lock that the kernel drops when its holder dies. */
function underLock(mode) {
  const lock = join(setupDir, "lock");
  try {
    fs.mkdirSync(setupDir, { recursive: true });
    fs.accessSync(setupDir, fs.constants.W_OK);
  } catch (error) {
    const steps = stepsFor(mode)
      .filter((step) => step.missing())
      .map((step) => step.name);
    throw new Unable(
      `missing: ${steps.join(", ")}; ${root} cannot be written by this user (${error.code}): run npm start there as its owner first`,
    );
  }
  const command = [process.execPath, fileURLToPath(import.meta.url), "--locked", mode];
  const options = { cwd: root, stdio: ["ignore", "inherit", "inherit"] };
  let result = spawnSync("flock", ["--close", "--nonblock", "--conflict-exit-code", String(LOCK_BUSY), lock, ...command], options);
  if (result.status === LOCK_BUSY) {
    say("another set-up is running in this folder; waiting for it");
    result = spawnSync("flock", ["--close", "--timeout", "1800", "--conflict-exit-code", String(LOCK_BUSY), lock, ...command], options);
    if (result.status === LOCK_BUSY) throw new Unable(`another set-up holds ${lock} for half an hour; end it and try again`);
  }
  if (result.error) throw new Unable(`cannot run flock (package util-linux): ${result.error.message}`);
  if (result.signal) process.exit(128 + (os.constants.signals[result.signal] ?? 0));
  if (result.status !== 0) process.exit(result.status ?? EXIT_UNABLE);
}

function stepsFor(mode) {
  return mode === "build" ? [dependencies, guest, dist, binLink] : [programs, sandboxUser, dependencies, guest, dist, binLink];
}

function setUp(mode) {
  for (const step of stepsFor(mode)) {
    if (!step.missing()) continue;
    try {
      step.make();
    } catch (error) {
      // the type check is one of the gates and says more; from source the program runs all the same
      if (step !== dist || mode === "build" || !(error instanceof Unable)) throw error;
      say(`${error.message}; going on from source`);
    }
  }
}

/** Becomes the command; where this Node cannot (before 22.15), starts it, passes signals on and repeats its end. */
function become(command, args) {
  const env = { ...process.env, PATH: `${dirname(node24)}:${process.env.PATH ?? "/usr/bin:/bin"}` };
  if (typeof process.execve === "function") {
    process.execve(command, [command, ...args], env);
  }
  const child = spawn(command, args, { stdio: "inherit", env });
  const signals = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2"];
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of signals) {
    // a terminal sends Ctrl-C and Ctrl-\ to the whole foreground group: passing them on as well would double them
    const fromTerminal = onTerminal && (signal === "SIGINT" || signal === "SIGQUIT");
    process.on(signal, () => {
      if (!fromTerminal) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    say(`cannot start ${command}: ${error.message}`);
    process.exit(EXIT_UNABLE);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? EXIT_UNABLE);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

function main([mode = "setup", ...args]) {
  checkPlatform();
  if (mode === "--locked") return setUp(args[0]);
  if (!["setup", "start", "test", "exec", "build"].includes(mode))
    throw new Unable(`unknown mode ${mode}: setup, start, test, exec or build`);
  if (stepsFor(mode).some((step) => step.missing())) {
    const startedAt = Date.now();
    underLock(mode);
    say(`ready after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  }
  if (mode === "start") become(join(root, "bin", "agentkernel"), ["demo", ...args]);
  if (mode === "test") become(node24, [join(root, "scripts", "test.ts"), ...args]);
  if (mode === "exec") become(node24, args);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Unable)) throw error;
  process.stderr.write(`agentkernel: ${error.message}\n`);
  process.exitCode = EXIT_UNABLE;
}
