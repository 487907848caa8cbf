import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type TempDir = AsyncDisposable & { readonly path: string };

/**
 * A directory of its own, removed at the end of the scope: `await using dir = await tempDir();`
 * `mode` 0o755 lets other users look into it (the default, 0o700, does not).
 */
export async function tempDir(options: { readonly prefix?: string; readonly mode?: number } = {}): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), options.prefix ?? "agentkernel-test-"));
  if (options.mode !== undefined) await chmod(path, options.mode);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await rm(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
    },
  };
}
