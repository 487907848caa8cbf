import { once } from "node:events";
import { connect } from "node:net";
import { NEVER } from "../support/bubblewrap-harness.ts";
import { freePort } from "../support/free-port.ts";
import { dialWhenUp, INSIDE_ENV } from "../support/run-in.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";

threat(
  "T38: listening inside",
  (attacked) => {
    test("is heard neither by the host nor by another sandbox", async () => {
      const { port } = await freePort();
      const other = await attacked.create();
      const exec = await attacked.sandbox.exec(
        {
          argv: ["/usr/bin/python3", "-m", "http.server", String(port), "--bind", "0.0.0.0", "-d", "/usr/share"],
          env: INSIDE_ENV,
          cwd: "/",
        },
        { signal: NEVER },
      );
      (await dialWhenUp(attacked.sandbox, port)).destroy();
      const socket = connect(port, "127.0.0.1");
      const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
      expect(error.code).toBe("ECONNREFUSED");
      await expect(other.dial(port, { signal: NEVER })).rejects.toMatchObject({ code: "UPSTREAM_ERROR" });
      exec.kill("SIGKILL");
    });
  },
  { needs: ["python3"] },
);
