import { readFile, rename, writeFile } from "node:fs/promises";
import { AppError, errnoOf } from "../../base/error.ts";
import { parseJson } from "../../base/parse-json.ts";
import type { StoredRow } from "./baseline-schema.ts";
import type { Entry, Manifest } from "./manifest.ts";

/** Both manifests of a copied workspace, kept beside the copy so that its changes can still be told after a crash. */
export type Baseline = {
  readonly original: string;
  readonly originalBefore: Manifest;
  /** the copy after it was handed over to the sandbox's owner */
  readonly copyBefore: Manifest;
};

export async function saveBaseline(file: string, baseline: Baseline): Promise<void> {
  const text = JSON.stringify({
    original: baseline.original,
    originalBefore: rowsOf(baseline.originalBefore),
    copyBefore: rowsOf(baseline.copyBefore),
  });
  await writeFile(`${file}.new`, text, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
}

/** The saved baseline; undefined when there is none. @throws STATE_UNUSABLE for one that is damaged */
export async function loadBaseline(file: string): Promise<Baseline | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  // only a workspace that was copied needs it, and a start does not
  const { storedBaseline } = await import("./baseline-schema.ts");
  const read = storedBaseline.safeParse(parseJson(text));
  if (!read.success)
    throw new AppError("STATE_UNUSABLE", `${file}, the list of what the copy was like, is damaged`, {
      hint: "remove the sandbox: its copy is kept, and its path is told",
    });
  const { data } = read;
  return { original: data.original, originalBefore: manifestOf(data.originalBefore), copyBefore: manifestOf(data.copyBefore) };
}

function rowsOf(manifest: Manifest): unknown[] {
  return [...manifest].map(([path, e]) => [
    path,
    e.kind,
    `${e.size}`,
    `${e.mtimeNs}`,
    `${e.ctimeNs}`,
    e.mode,
    `${e.inode}`,
    e.target ?? null,
  ]);
}

function manifestOf(rows: readonly StoredRow[]): Manifest {
  const manifest = new Map<string, Entry>();
  for (const [path, kind, size, mtimeNs, ctimeNs, mode, inode, target] of rows) {
    manifest.set(path, {
      kind,
      size: BigInt(size),
      mtimeNs: BigInt(mtimeNs),
      ctimeNs: BigInt(ctimeNs),
      mode,
      inode: BigInt(inode),
      ...(target === null ? {} : { target }),
    });
  }
  return manifest;
}
