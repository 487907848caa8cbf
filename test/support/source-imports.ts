import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

export type Import = {
  /** as written */
  readonly specifier: string;
  /** path below src when it is relative */
  readonly target?: string;
  /** nothing is loaded when the importing file is: `import(…)`, `import type`, `export type` */
  readonly isLazy: boolean;
};

export type SourceFile = {
  /** below src, with slashes */
  readonly path: string;
  readonly text: string;
  /** without comments: lines keep their places */
  readonly code: string;
  readonly lineCount: number;
  readonly imports: readonly Import[];
};

// the code is formatted by one tool, so that these shapes are all there are; `import type` and `export … from` included
const STATIC = /^[ \t]*(?:import|export)\b(?:[^"';=()]*?\bfrom\s*)?\s*"([^"]+)"/gm;
const DYNAMIC = /\bimport\(\s*([^)]*?)\s*[,)]/g;

/** Every hand-written source file below `src`, tests included, with what it imports. */
export function readSources(src: string): readonly SourceFile[] {
  const names = readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mts)$/.test(entry.name) && !entry.name.endsWith(".d.ts"))
    .map((entry) => relative(src, join(entry.parentPath, entry.name)));
  return names.toSorted().map((path) => readSource(src, path));
}

function readSource(src: string, path: string): SourceFile {
  const text = readFileSync(join(src, path), "utf8");
  const code = withoutComments(text);
  const imports: Import[] = [];
  for (const match of code.matchAll(STATIC)) imports.push(resolve(path, match[1] ?? "", /^\s*(import|export)\s+type\b/.test(match[0])));
  for (const match of code.matchAll(DYNAMIC)) {
    const literal = /^"([^"]+)"$/.exec(match[1] ?? "");
    imports.push(resolve(path, literal?.[1] ?? `(computed: ${match[1]})`, true));
  }
  return { path, text, code, lineCount: text.split("\n").length - 1, imports };
}

function resolve(from: string, specifier: string, isLazy: boolean): Import {
  if (!specifier.startsWith(".")) return { specifier, isLazy };
  return { specifier, target: normalize(join(dirname(from), specifier)), isLazy };
}

/** Blanks whole-line and block comments; a `//` after code may be part of a string and stays. */
function withoutComments(text: string): string {
  const blank = (comment: string): string => comment.replace(/[^\n]/g, " ");
  return text.replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, blank).replace(/^[ \t]*\/\/.*$/gm, blank);
}

/** One cycle of imports, as the files on it, or undefined. */
export function findCycle(files: readonly SourceFile[]): readonly string[] | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const onPath: string[] = [];
  const visit = (path: string): readonly string[] | undefined => {
    if (done.has(path)) return undefined;
    const at = onPath.indexOf(path);
    if (at >= 0) return [...onPath.slice(at), path];
    onPath.push(path);
    for (const { target } of byPath.get(path)?.imports ?? []) {
      const cycle = target === undefined ? undefined : visit(target);
      if (cycle !== undefined) return cycle;
    }
    onPath.pop();
    done.add(path);
    return undefined;
  };
  for (const file of files) {
    const cycle = visit(file.path);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
