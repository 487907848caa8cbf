import { chown, cp, mkdtemp } from "node:fs/promises";
import { dirname, join } from "node:path";
import { guestProgram } from "../../src/backends/init/program.ts";
import { tempDir, type TempDir } from "./temp.ts";
import { testUser } from "./user.ts";

/**
 * Turns this worker process into an ordinary user for good: what follows in the test file runs as agentkernel does on a laptop. Each
 * test file has a process of its own. Returns a directory of that user's with the guest programs in it, since a checkout below /root
 * cannot be reached any more. Where the tests do not run as root, nothing changes.
 */
export async function becomeOrdinaryUser(): Promise<{ readonly dir: TempDir; readonly guestDir: string }> {
  const dir = await tempDir({ mode: 0o755 });
  const guestDir = await mkdtemp(join(dir.path, "guest-"));
  await cp(dirname(guestProgram("init")), guestDir, { recursive: true });
  if (process.getuid?.() === 0) {
    await using user = await testUser();
    for (const path of [dir.path, guestDir]) await chown(path, user.uid, user.gid);
    process.setgroups?.([]);
    process.setgid?.(user.gid);
    process.setuid?.(user.uid);
  }
  return { dir, guestDir };
}
