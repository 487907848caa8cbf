import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat(
  "T35: clients without any proxy setting",
  (attacked) => {
    test.each([
      ["curl", ["/usr/bin/curl", "-s", "--noproxy", "*", "http://example.com/"]],
      ["curl to an address", ["/usr/bin/curl", "-s", "http://203.0.113.9/"]],
      ["a program that links no library", ["/opt/attack/attack", "tcp:203.0.113.10,80"]],
      [
        "a shell that opens a socket",
        ["/bin/bash", "-c", "exec 3<>/dev/tcp/203.0.113.9/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3"],
      ],
      ["python", ["/usr/bin/python3", "-c", "import urllib.request as u; print(u.urlopen('http://example.org/').read().decode(), end='')"]],
    ])("%s meets the gateway all the same", async (_, argv) => {
      const { stdout, stderr } = await runIn(attacked.sandbox, argv, { env: { PATH: "/usr/bin" } });
      expect(stderr).toBe("");
      expect(stdout).toMatch(/^(?:to (?:198\.18\.0\.1|203\.0\.113\.9):80|tcp:203\.0\.113\.10,80 ok)\n$/);
    });

    test("each of them asked our name server and nobody else", () => {
      expect(new Set(attacked.harness.gateway.names)).toEqual(new Set(["example.com", "example.org"]));
    });
  },
  { needs: ["curl", "python3"] },
);
