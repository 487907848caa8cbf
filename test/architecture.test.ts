import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findCycle, readSources, type SourceFile } from "./support/source-imports.ts";

const src = join(import.meta.dirname, "../src");

const PARTS = [
  "base",
  "schema",
  "policy",
  "providers",
  "usage",
  "metrics",
  "secrets",
  "events",
  "store",
  "config",
  "egress",
  "sandbox",
  "backends",
  "pool",
  "opencode",
];

/** Who may import whom: folder, or file, or (`lazy:`) folder that only a dynamic or a type import may name. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  schema: ["base"],
  policy: ["base", "schema"],
  providers: ["base", "schema"],
  usage: ["base", "schema"],
  metrics: ["base", "schema"],
  secrets: ["base", "schema"],
  events: ["base", "schema", "policy", "metrics"],
  store: ["base", "schema"],
  config: ["base", "schema"],
  // events/log.ts is a contract without logic: the one `append` that every exchange goes to
  egress: ["base", "schema", "policy", "providers", "usage", "secrets", "metrics", "events/log.ts"],
  sandbox: ["base", "schema", "metrics", "events/log.ts"],
  backends: ["base", "schema", "sandbox/backend.ts"],
  pool: ["base", "schema", "sandbox", "metrics"],
  opencode: ["base", "schema", "sandbox", "metrics"],
  app: PARTS,
  server: ["base", "schema", "app"],
  client: ["base", "schema"],
  // the stand-in provider has certificates of its own
  demo: ["base", "schema", "egress/tls/mint.ts"],
  cli: ["base", "schema", "config", "client", "lazy:app", "lazy:server", "lazy:demo"],
  "index.ts": [...PARTS, "app", "client"],
};

/** From outside of `egress/` only these of its files are seen. */
const EGRESS_DOORS = ["egress/gateway.ts", "egress/options.ts", "egress/trust.ts"];

/** A package and the places that may import it. */
const DOORS: readonly { readonly packages: RegExp; readonly places: readonly string[] }[] = [
  { packages: /^(hono|@hono\/.*)$/, places: ["server/"] },
  { packages: /^(commander|@clack\/.*)$/, places: ["cli/"] },
  { packages: /^node:sqlite$/, places: ["store/"] },
  { packages: /^(@peculiar\/x509|reflect-metadata)$/, places: ["egress/tls/mint.ts"] },
  { packages: /^undici(\/|$)/, places: ["egress/upstream/", "events/"] },
  { packages: /^pino$/, places: ["app/logger.ts"] },
  { packages: /^smol-toml$/, places: ["config/"] },
  { packages: /^@pydantic\/genai-prices$/, places: ["usage/"] },
  { packages: /^node:(child_process|cluster)$/, places: ["base/process.ts"] },
];

/** What touches the world or reads a clock; `policy`, `providers` and `usage` do neither. */
const IMPURE =
  /^node:(fs|fs\/promises|http|http2|https|dgram|dns|dns\/promises|tls|os|process|perf_hooks|timers|timers\/promises|worker_threads)$/;
const PURE_FOLDERS = ["policy", "providers", "usage"];

/** the agent that the demo runs inside the sandbox is a program of its own */
const GUEST_PROGRAMS = ["demo/agent.mts"];

/** raise it with the code: a gate that examined nothing is red */
const EXPECTED_FILES = 120;

const files = readSources(src);
const isTest = (file: SourceFile): boolean => file.path.endsWith(".test.ts");
const product = files.filter((file) => !isTest(file));
const inProgram = product.filter((file) => !GUEST_PROGRAMS.includes(file.path));

/** `backends/docker` for a backend's file, else the first folder, else the file itself. */
function area(path: string): string {
  const parts = path.split("/");
  return parts[0] === "backends" ? parts.slice(0, 2).join("/") : (parts[0] ?? path);
}

function mayImport(from: string, to: string, isLazy: boolean): boolean {
  if (area(from) === area(to)) return true;
  // what every backend shares: our side of the in-sandbox init
  if (from.startsWith("backends/") && to.startsWith("backends/init/")) return true;
  const allowed = MAY_IMPORT[from.startsWith("backends/") ? "backends" : area(from)] ?? [];
  if (allowed.includes(to)) return true;
  const folder = to.split("/")[0] ?? to;
  return allowed.includes(folder) || (isLazy && allowed.includes(`lazy:${folder}`));
}

function violations(candidates: readonly SourceFile[], judge: (file: SourceFile) => readonly string[]): readonly string[] {
  return candidates.flatMap((file) => judge(file).map((what) => `${file.path}: ${what}`));
}

function uses(file: SourceFile, pattern: RegExp): readonly string[] {
  const lines = file.code.split("\n");
  return lines.flatMap((line, index) => (pattern.test(line) ? [`line ${index + 1}: ${line.trim()}`] : []));
}

test("the gate examined the source", () => {
  expect(files.length).toBeGreaterThanOrEqual(EXPECTED_FILES);
  for (const folder of [
    "base",
    "schema",
    "policy",
    "providers",
    "usage",
    "egress",
    "sandbox",
    "backends",
    "events",
    "app",
    "server",
    "cli",
  ]) {
    expect(product.filter((file) => file.path.startsWith(`${folder}/`)).length, folder).toBeGreaterThan(0);
  }
  // files that import nothing are rare: if the patterns stopped matching, this would notice
  expect(product.flatMap((file) => file.imports).length).toBeGreaterThan(product.length * 2);
});

describe("imports", () => {
  test("every folder is in the table", () => {
    const known = new Set(Object.keys(MAY_IMPORT));
    expect([...new Set(files.map((file) => file.path.split("/")[0] ?? ""))].filter((folder) => !known.has(folder))).toEqual([]);
  });

  test("relative ones end in .ts and exist", () => {
    const bad = violations(files, (file) =>
      file.imports.filter(({ target }) => target !== undefined && !existsSync(join(src, target))).map(({ specifier }) => specifier),
    );
    expect(bad).toEqual([]);
  });

  test("built-ins are written node:", () => {
    const plain = /^(fs|path|os|net|http|https|http2|tls|crypto|stream|util|url|events|zlib|dns|dgram|child_process|buffer|assert)(\/|$)/;
    expect(violations(files, (file) => file.imports.map(({ specifier }) => specifier).filter((name) => plain.test(name)))).toEqual([]);
  });

  test("dynamic ones name their module", () => {
    const computed = (file: SourceFile) => file.imports.map(({ specifier }) => specifier).filter((name) => name.startsWith("(computed"));
    expect(violations(inProgram, computed)).toEqual([]);
  });

  test("a folder imports only what the table names", () => {
    const bad = violations(product, (file) =>
      file.imports.flatMap(({ target, isLazy }) =>
        target === undefined || target.startsWith("..") || mayImport(file.path, target, isLazy) ? [] : [`imports ${target}`],
      ),
    );
    expect(bad).toEqual([]);
  });

  test("egress is entered by its doors", () => {
    const bad = violations(product, (file) =>
      file.imports.flatMap(({ target }) =>
        file.path.startsWith("egress/") || area(file.path) === "demo" || !target?.startsWith("egress/") || EGRESS_DOORS.includes(target)
          ? []
          : [`imports ${target}`],
      ),
    );
    expect(bad).toEqual([]);
  });

  test("each vendor has one door", () => {
    const bad = violations(inProgram, (file) =>
      file.imports.flatMap(({ specifier }) =>
        DOORS.filter(({ packages, places }) => packages.test(specifier) && !places.some((place) => file.path.startsWith(place))).map(
          ({ places }) => `imports ${specifier}, which belongs to ${places.join(", ")}`,
        ),
      ),
    );
    expect(bad).toEqual([]);
  });

  test("there is no cycle, type-only imports included", () => {
    expect(findCycle(files)).toBeUndefined();
  });

  test("there is no barrel but index.ts", () => {
    const barrels = product.filter((file) => file.path !== "index.ts" && /(^|\/)index\.ts$/.test(file.path));
    expect(barrels.map((file) => file.path)).toEqual([]);
  });
});

describe("never", () => {
  const pure = product.filter((file) => PURE_FOLDERS.includes(area(file.path)));

  test("policy, providers and usage do no I/O and read no clock", () => {
    const imports = violations(pure, (file) => file.imports.map(({ specifier }) => specifier).filter((name) => IMPURE.test(name)));
    const clocks = violations(pure, (file) =>
      uses(file, /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bset(Timeout|Interval)\(|\bfetch\(/),
    );
    expect([...imports, ...clocks]).toEqual([]);
  });

  test("shared code does not ask which backend it is", () => {
    const shared = product.filter((file) => ["sandbox", "pool", "opencode"].includes(area(file.path)));
    expect(violations(shared, (file) => uses(file, /\bbackend\.name\s*(===|!==|==)|switch \(\S*backend\.name\)/))).toEqual([]);
  });

  test("only config/env.ts reads the environment", () => {
    const others = inProgram.filter((file) => file.path !== "config/env.ts");
    expect(violations(others, (file) => uses(file, /\bprocess\.env\b|\{[^}]*\benv\b[^}]*\} = process\b/))).toEqual([]);
  });

  test("only cli/main.ts exits the process", () => {
    const others = inProgram.filter((file) => file.path !== "cli/main.ts");
    expect(violations(others, (file) => uses(file, /\bprocess\.(exit|abort|reallyExit)\(/))).toEqual([]);
    const library = inProgram.filter((file) => !file.path.startsWith("cli/"));
    expect(violations(library, (file) => uses(file, /\bprocess\.exitCode\s*=/))).toEqual([]);
  });

  test("only cli/output.ts writes to stdout", () => {
    const others = inProgram.filter((file) => file.path !== "cli/output.ts");
    expect(violations(others, (file) => uses(file, /\bprocess\.stdout\.(write|end)\b|\bprocess\.stdout\)|writeSync\(1,/))).toEqual([]);
  });

  test("nobody uses console", () => {
    expect(violations(inProgram, (file) => uses(file, /\bconsole\.\w+\(/))).toEqual([]);
  });

  // V8 makes such a function old at once, with all that it leads to: of thousands of exchanges that is what fills the heap
  test("nothing on an exchange's way writes a function where it assigns it to a property", () => {
    const onTheWay = product.filter((file) => ["egress", "providers", "secrets"].includes(area(file.path)));
    const written = /[\w\])]\.#?\w+ (\?\?|\|\|)?= (async )?(function\b|(\([^()]*\)|\w+)(: [^=]+)? => (?!undefined;))/;
    expect(violations(onTheWay, (file) => uses(file, written))).toEqual([]);
  });

  test("there is no empty catch", () => {
    expect(violations(inProgram, (file) => (/catch\s*(\([^)]*\))?\s*\{\s*\}/.test(file.code) ? ["empty catch"] : []))).toEqual([]);
  });
});

test("files that are a question by their length are named", ({ annotate }) => {
  const counts = product.map((file) => file.lineCount).toSorted((a, b) => a - b);
  const at = (share: number): number => counts[Math.floor(counts.length * share)] ?? 0;
  const long = product.filter((file) => file.lineCount > 400);
  const report = long.map((file) => `${file.path} has ${file.lineCount} lines`).join("; ");
  // a report: whether a long file is right is for a person to say; nothing hand-written is twice as long
  void annotate(`median ${at(0.5)} lines, p90 ${at(0.9)}; over 400: ${report || "none"}`);
  expect(product.filter((file) => file.lineCount > 800).map((file) => file.path)).toEqual([]);
});
