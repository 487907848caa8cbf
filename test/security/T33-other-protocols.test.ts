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

  test("nor do the Internet's other protocols, whose modules a kernel would load for it", async () => {
    // SCTP, DCCP, L2TP, UDP-Lite, MPTCP
    const others = ["protocol:132", "protocol6:132", "protocol:33", "protocol:262", "datagram:115", "datagram:136"];
    expect(await attack(attacked.sandbox, ...others, "protocol:6", "datagram:17", "protocol6:0")).toEqual({
      ...Object.fromEntries(others.map((name) => [name, "EPROTONOSUPPORT"])),
      "protocol:6": "ok",
      "datagram:17": "ok",
      "protocol6:0": "ok",
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

  test("ICMP, IPv6 and ports without a listener end inside", async () => {
    const answers = await attack(
      attacked.sandbox,
      "ping:8.8.8.8",
      "udp6:2606:4700:4700::1111,53",
      "udp6:::1,53",
      "tcp:2606:4700:4700::1111,443",
      "tcp:fd00:ec2::254,80",
      "tcp:::1,443",
      "tcp:8.8.8.8,853",
      "tcp:10.0.0.1,22",
    );
    // an echo that nobody was asked for, an address that has no listener, or a machine without IPv6
    expect(answers["ping:8.8.8.8"]).toMatch(/^(?:EACCES|EPERM|EAGAIN|ok)$/);
    for (const [name, answer] of Object.entries(answers).slice(1))
      expect(answer, name).toMatch(/^(?:ECONNREFUSED|EAGAIN|EAFNOSUPPORT|ENETUNREACH)$/);
  });

  test("there is no interface but the loopback", async () => {
    const { stdout } = await runIn(attacked.sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    expect(stdout).toBe("lo\n");
  });
});
