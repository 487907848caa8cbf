import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T28: privileges of what runs inside", (attacked) => {
  const wanted = {
    NoNewPrivs: "1",
    Seccomp: "2",
    CapInh: "0000000000000000",
    CapPrm: "0000000000000000",
    CapEff: "0000000000000000",
    CapBnd: "0000000000000000",
    CapAmb: "0000000000000000",
  };
  const read = async (path: string) => {
    const { stdout } = await runIn(attacked.sandbox, ["/bin/cat", path]);
    const all = Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(":\t")),
    );
    return Object.fromEntries(Object.keys(wanted).map((key) => [key, all[key]]));
  };

  test("a command has none", async () => {
    expect(await read("/proc/self/status")).toEqual(wanted);
  });

  test("the init has none", async () => {
    expect(await read("/proc/1/status")).toEqual(wanted);
  });

  test("no core is dumped", async () => {
    expect((await runIn(attacked.sandbox, "ulimit -Hc; ulimit -Sc")).stdout).toBe("0\n0\n");
  });
});
