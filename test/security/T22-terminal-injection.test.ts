import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T22: typing on the terminal it was given", (attacked) => {
  test("is refused", async () => {
    const { stdout } = await runIn(attacked.sandbox, ["/opt/attack/attack", "tiocsti", "tioclinux"], { tty: { rows: 24, cols: 80 } });
    expect(stdout.trim().split(/\r?\n/)).toEqual(["tiocsti EPERM", "tioclinux EPERM"]);
  });

  test("choosing the kernel's line discipline for it is refused", async () => {
    const { stdout } = await runIn(attacked.sandbox, ["/opt/attack/attack", "tiocsetd"], { tty: { rows: 24, cols: 80 } });
    expect(stdout.trim()).toBe("tiocsetd EPERM");
  });

  test("the terminal is a pty of the sandbox, and a command without one has no controlling terminal", async () => {
    const { stdout } = await runIn(attacked.sandbox, ["/usr/bin/tty"], { tty: { rows: 24, cols: 80 } });
    expect(stdout.trim()).toMatch(/^\/dev\/pts\/\d+$/);
    expect((await runIn(attacked.sandbox, "(: < /dev/tty) 2>&1")).stdout).toMatch(/No such device|cannot open/);
  });
});
