import { statfs } from "node:fs/promises";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat(
  "T09: filling file systems",
  (attacked) => {
    test("ends at the size of the scratch, and the host keeps its space", async () => {
      const before = await statfs(attacked.harness.base);
      const { stdout } = await runIn(
        attacked.sandbox,
        "for d in /tmp /dev/shm; do head -c 200000000 /dev/zero > $d/big 2>/dev/null; stat -c %s $d/big; done; head -c 10000000 /dev/zero > /dev/big 2>/dev/null || echo closed",
      );
      const [tmp = 0, shm = 0, dev] = stdout.trim().split("\n");
      // one file system for both
      expect(Number(tmp) + Number(shm)).toBeLessThanOrEqual(8 << 20);
      expect(dev).toBe("closed");
      const after = await statfs(attacked.harness.base);
      expect((before.bavail - after.bavail) * before.bsize).toBeLessThan(1 << 30);
      await runIn(attacked.sandbox, "rm -f /tmp/big /dev/shm/big");
    });

    test("with empty files ends at a number of files", async () => {
      const { stdout } = await runIn(attacked.sandbox, [
        "/usr/bin/python3",
        "-c",
        "n=0\ntry:\n  while n < 100000:\n    open('/tmp/f%d' % n, 'w').close(); n += 1\nexcept OSError as e: print(e.errno)\nprint(n)",
      ]);
      const [errno, count] = stdout.trim().split("\n").map(Number);
      expect(errno).toBe(28);
      expect(count).toBeLessThan(5000);
    });
  },
  {
    needs: ["python3"],
    spec: { limits: { memoryBytes: 256 << 20, cpus: null, pids: 64, openFiles: 256, scratchBytes: 8 << 20, required: ["disk"] } },
  },
);
