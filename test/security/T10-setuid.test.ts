import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T10: setuid programs", (attacked) => {
  test("in the workspace give nobody another uid, and those of the host neither", async () => {
    const { stdout } = await runIn(
      attacked.sandbox,
      "cp /usr/bin/id ./id; chmod 6755 ./id; ./id -u; stat -c %a ./id; find /usr/bin -perm -4000 | head -3; /usr/bin/su -c id 2>&1 </dev/null | head -1",
    );
    expect(stdout).toMatch(/^1000\n/);
    expect(stdout).not.toMatch(/uid=0/);
  });

  test("nor can the uid be changed", async () => {
    expect(await attack(attacked.sandbox, "setuid", "chown_root")).toEqual({
      setuid: expect.stringMatching(/EPERM|EINVAL/),
      chown_root: expect.stringMatching(/EPERM|EINVAL/),
    });
  });
});
