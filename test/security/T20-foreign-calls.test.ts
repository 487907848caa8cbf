import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";

threat("T20: system calls of another architecture", (attacked) => {
  test("end the process", async () => {
    expect(await attack(attacked.sandbox, "int80", "x32")).toEqual({ int80: "SIG31", x32: "SIG31" });
  });
});
