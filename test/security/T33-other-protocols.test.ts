import { createSocket } from "node:dgram";
import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T33: the network by other means than TCP", (attacked) => {
  test("families beyond IP and local sockets do not exist", async () => {
    expect(await attack(attacked.sandbox, "vsock", "packet", "alg", "netlink_audit", "bluetooth", "unix", "netlink_route")).toEqual({
      vsock: "EAFNOSUPPORT",
      packet: "EAFNOSUPPORT",
      alg: "EAFNOSUPPORT",
      netlink_audit: "EAFNOSUPPORT",
      bluetooth: "EAFNOSUPPORT",
      unix: "ok",
      netlink_route: "ok",
    });
  });

  test("raw sockets are refused, and UDP reaches nobody", async () => {
    const host = createSocket("udp4");
    const heard: Buffer[] = [];
    host.on("message", (message) => heard.push(message));
    await new Promise<void>((resolve) => host.bind(0, "127.0.0.1", resolve));
    const { port } = host.address();
    const answers = await attack(attacked.sandbox, "raw", `udp:127.0.0.1,${port}`, "udp:8.8.8.8,53", "udp:8.8.8.8,443", "udp:10.0.0.1,123");
    expect(answers["raw"]).toBe("EPERM");
    for (const [name, answer] of Object.entries(answers)) if (name.startsWith("udp")) expect(answer, name).toMatch(/ECONNREFUSED|EAGAIN/);
    expect(heard).toEqual([]);
    host.close();
  });

  test("there is no interface but the loopback", async () => {
    const { stdout } = await runIn(attacked.sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    expect(stdout).toBe("lo\n");
  });
});
