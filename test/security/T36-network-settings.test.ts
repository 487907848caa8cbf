import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";

threat("T36: changing the network", (attacked) => {
  test("routes, interfaces and the gateway's ports are out of reach", async () => {
    const answers = await attack(attacked.sandbox, "route", "interface_down", "bind:80", "bind:443", "bind:53", "bind_udp:53", "bind:8080");
    expect(answers).toMatchObject({ route: "EPERM", interface_down: "EPERM", "bind:8080": "ok" });
    for (const name of ["bind:80", "bind:443", "bind:53", "bind_udp:53"]) expect(answers[name], name).toMatch(/EACCES|EADDRINUSE/);
  });
});
