import { processesOf } from "../../src/backends/bubblewrap/stray-processes.ts";
import { requires } from "../support/requires.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T25: processes that do not want to end", (attacked) => {
  test("are gone with the sandbox, on the host too", requires("root"), async () => {
    const uid = 2_500_000 + process.pid;
    const sandbox = await attacked.create({ owner: { uid, gid: uid } });
    await runIn(
      sandbox,
      "for i in 1 2 3 4 5; do setsid sh -c 'trap \"\" HUP INT TERM QUIT USR1; (setsid sleep 1000 &); sleep 1000' >/dev/null 2>&1 & done",
    );
    expect(processesOf((other) => other === uid).length).toBeGreaterThan(5);
    const before = performance.now();
    await sandbox.stop({ kind: "stopped", message: "removed" });
    expect(processesOf((other) => other === uid)).toEqual([]);
    expect(performance.now() - before).toBeLessThan(5000);
  });
});
