import { createServer } from "node:net";
import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";

threat("T34: abstract sockets of the host", (attacked) => {
  test("are another network's", async () => {
    const name = `agentkernel-test-${process.pid}`;
    await using host = createServer();
    let hits = 0;
    host.on("connection", () => {
      hits += 1;
    });
    await new Promise<void>((resolve) => host.listen(`\0${name}`, resolve));
    expect(await attack(attacked.sandbox, `abstract:${name}`)).toEqual({ [`abstract:${name}`]: "ECONNREFUSED" });
    expect(hits).toBe(0);
  });
});
