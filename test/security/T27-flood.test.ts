import { NEVER } from "../support/bubblewrap-harness.ts";
import { INSIDE_ENV } from "../support/run-in.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T27: a flood of output that nobody reads", (attacked) => {
  test("waits in the sandbox and not in our memory, and other commands go on", async () => {
    const exec = await attacked.sandbox.exec({ argv: ["/bin/cat", "/dev/zero"], env: INSIDE_ENV, cwd: "/" }, { signal: NEVER });
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 20; i += 1)
      expect((await runIn(attacked.sandbox, "echo fine; head -c 100000 /dev/zero >&2")).stdout).toBe("fine\n");
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20);
    exec.kill("SIGKILL");
    exec.stdout.resume();
    exec.stderr.resume();
    expect((await exec.exited).signal).toBe("SIGKILL");
  });

  test("input that is never read does not hold anybody up", async () => {
    const exec = await attacked.sandbox.exec({ argv: ["/bin/sleep", "0.2"], env: INSIDE_ENV, cwd: "/" }, { signal: NEVER });
    exec.stdin.on("error", () => undefined);
    exec.stdin.write(Buffer.alloc(10 << 20));
    exec.stdout.resume();
    exec.stderr.resume();
    expect((await exec.exited).code).toBe(0);
  });
});
