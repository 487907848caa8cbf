import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WorkspaceCopySession } from "../../src/sandbox/workspace/session.ts";
import { tempDir } from "./temp.ts";

/** A workspace, its copy as a sandbox would have it, and a canary outside of both. */
export async function workspaceCopy(plant: (original: string, outside: string) => Promise<void> = async () => undefined) {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  const [original, sandbox, outside] = [join(dir.path, "project"), join(dir.path, "sandbox"), join(dir.path, "outside")];
  for (const path of [original, join(original, "src"), sandbox, outside]) await mkdir(path);
  await writeFile(join(original, "src", "a.txt"), "a");
  await writeFile(join(outside, "canary"), "canary");
  await plant(original, outside);
  const session = new WorkspaceCopySession(original, sandbox);
  return { original, outside, sandbox, session, copy: session.copy, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
