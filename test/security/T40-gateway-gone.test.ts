import type { Socket } from "node:net";
import type { SandboxListeners } from "../../src/sandbox/backend.ts";
import { NEVER } from "../support/bubblewrap-harness.ts";
import { INSIDE_ENV } from "../support/run-in.ts";
import { waitFor } from "../support/wait-for.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";

threat(
  "T40: the gateway goes away",
  (attacked) => {
    test("open connections are cut and new ones refused: there is no other way out", async () => {
      const taken: SandboxListeners[] = [];
      const sockets: Socket[] = [];
      const sandbox = await attacked.create({
        network: {
          kind: "gateway",
          ports: [53, 80, 443],
          attach: async (listeners) => {
            taken.push(listeners);
            for (const server of listeners.tcp.values()) server.on("connection", (socket) => void sockets.push(socket));
          },
        },
      });
      const script =
        "import socket,sys\ns=socket.create_connection(('192.0.2.1',443))\nprint('open',flush=True)\ntry: print('cut' if s.recv(1)==b'' else 'data',flush=True)\nexcept OSError: print('cut',flush=True)\ntry: socket.create_connection(('192.0.2.1',443),timeout=5); print('BYPASS')\nexcept OSError as e: print(e.errno)";
      const exec = await sandbox.exec({ argv: ["/usr/bin/python3", "-c", script], env: INSIDE_ENV, cwd: "/" }, { signal: NEVER });
      let seen = "";
      exec.stdout.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
      });
      exec.stderr.resume();
      await waitFor(() => seen.includes("open") && sockets.length === 1);
      for (const { tcp, dns } of taken) {
        for (const server of tcp.values()) server.close();
        dns?.close();
      }
      for (const socket of sockets) socket.destroy();
      await exec.exited;
      await waitFor(() => seen.split("\n").length > 3);
      expect(seen).toBe("open\ncut\n111\n");
    });
  },
  { needs: ["python3"] },
);
