import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tempDir } from "../../../test/support/temp.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { derivedRandom } from "../../secrets/placeholder.ts";
import { VaultKey } from "../../secrets/vault-key.ts";
import { Renewals } from "./renewals.ts";
import { SecretFiles } from "./secret-files.ts";

it("refuses a file of agentkernel's own, by whichever path state and file are named", async () => {
  await using dir = await tempDir();
  const [real, link] = [join(dir.path, "real"), join(dir.path, "link")];
  await mkdir(join(real, "state"), { recursive: true });
  await symlink(real, link);
  const login = JSON.stringify({ claudeAiOauth: { accessToken: "a".repeat(40), refreshToken: "b".repeat(40) } });
  for (const path of [join(real, "state", "x.json"), join(real, "x.json")]) await writeFile(path, login, { mode: 0o600 });
  for (const own of [join(real, "state"), join(link, "state")]) {
    const files = new SecretFiles({
      home: dir.path,
      configured: () => [],
      forbidden: [own, join(dir.path, "not-there")],
      renewals: new Renewals({
        folder: join(dir.path, "logins"),
        key: () => Promise.resolve(new VaultKey(Buffer.alloc(32, 7))),
        clock: systemClock,
        log: silentLog,
      }),
      randomFor: async () => (context) => derivedRandom(Buffer.alloc(32, 7), context),
      clock: systemClock,
      log: silentLog,
    });
    for (const base of [real, link]) {
      expect(() => files.define(`claude-code:${base}/state/x.json`)).toThrow("one of agentkernel's own");
      expect(files.define(`claude-code:${base}/x.json`).path).toBe(`${base}/x.json`);
    }
  }
});
