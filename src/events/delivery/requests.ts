import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/error.ts";
import { newId } from "../../base/id.ts";
import { membersOf, parseJson } from "../../base/parse-json.ts";
import { replaceFile } from "./atomic-file.ts";
import { sinkDirectory } from "./place.ts";

/** What an operator asks of whichever process delivers: `replay` sends everything since a time again, `resume` ends a pause. */
export type DeliveryRequest =
  | { readonly kind: "resume" }
  | { readonly kind: "replay"; readonly sinceMs: number }
  | { readonly kind: "replay_dead" }
  | { readonly kind: "purge_dead" };

/** Leaves a request on disk; the delivering process sees it at its next look, be it this one, another, or a later one. */
export async function placeRequest(dir: string, sink: string, request: DeliveryRequest): Promise<void> {
  const folder = requestsDirectory(dir, sink);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await replaceFile(join(folder, `${newId("gen")}.json`), JSON.stringify(request));
}

/** Oldest first; each is gone when `handle` has returned. */
export async function takeRequests(dir: string, sink: string, handle: (request: DeliveryRequest) => Promise<void>): Promise<void> {
  const folder = requestsDirectory(dir, sink);
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  for (const name of names.filter((text) => text.endsWith(".json")).sort()) {
    const path = join(folder, name);
    const request = parseRequest(await readFile(path, "utf8"));
    if (request !== undefined) await handle(request);
    await unlink(path);
  }
}

function requestsDirectory(dir: string, sink: string): string {
  return join(sinkDirectory(dir, sink), "requests");
}

function parseRequest(text: string): DeliveryRequest | undefined {
  const { kind, sinceMs } = membersOf(parseJson(text));
  if (kind === "resume" || kind === "replay_dead" || kind === "purge_dead") return { kind };
  return kind === "replay" && typeof sinceMs === "number" ? { kind, sinceMs } : undefined;
}
