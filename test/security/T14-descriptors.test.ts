import { closeSync, constants, openSync } from "node:fs";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T14: descriptors of agentkernel", (attacked) => {
  test("none reaches a command, whatever the daemon has open", async () => {
    const open = openSync("/etc/shells", constants.O_RDONLY);
    const sandbox = await attacked.create();
    const { stdout } = await runIn(sandbox, ["/bin/ls", "/proc/self/fd"]);
    closeSync(open);
    // the fourth is ls's own, of the directory it lists
    expect(stdout).toBe("0\n1\n2\n3\n");
    expect((await runIn(sandbox, "for i in $(seq 3 300); do [ -e /proc/$$/fd/$i ] && echo $i; done; echo end")).stdout).toBe("end\n");
  });

  test("a terminal is one as well", async () => {
    const { stdout } = await runIn(attacked.sandbox, ["/bin/ls", "/proc/self/fd"], { tty: { rows: 24, cols: 80 } });
    expect(stdout.trim().split(/\s+/)).toEqual(["0", "1", "2", "3"]);
  });
});
