import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T15: processes of the host", (attacked) => {
  test("are not to be seen and not to be signalled", async () => {
    const { stdout } = await runIn(attacked.sandbox, [
      "/bin/sh",
      "-c",
      'ls -d /proc/[0-9]* | wc -l; kill -0 "$1" 2>&1; for i in $(seq 2 400); do kill -9 $i 2>/dev/null; done; echo done',
      "sh",
      String(process.pid),
    ]);
    const lines = stdout.trim().split("\n");
    expect(Number(lines[0])).toBeLessThan(10);
    expect(stdout).not.toMatch(/Operation not permitted/);
    process.kill(process.pid, 0);
  });

  test("killing everything that can be seen leaves the init and the sandbox", async () => {
    await runIn(attacked.sandbox, "kill -9 -1");
    expect((await runIn(attacked.sandbox, "echo alive")).stdout).toBe("alive\n");
  });
});
