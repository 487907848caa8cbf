import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

async function service() {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    response.end(`${request.headers.host} ${request.url}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    requests: () => requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

describe("--allow-host-port", requires("bwrap", "curl"), () => {
  it("opens one port of this machine's loopback by name, and nothing beside it", async () => {
    await using at = await installation();
    await using opened = await service();
    await using closed = await service();
    const name = "host.agentkernel.internal";
    const script = [
      `curl -s -m 5 http://${name}:${opened.port}/x; echo`,
      `curl -s -m 5 -o /dev/null -w '%{http_code}\\n' http://${name}:${closed.port}/`,
      `curl -s -m 5 -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:${opened.port}/`,
      `curl -s -m 5 -o /dev/null -w '%{http_code}\\n' http://${name}/`,
    ].join("; ");
    const result = await at.run(["run", "--no-workspace", "--allow-host-port", String(opened.port), "--", "sh", "-c", script]);
    expect(result.stdout.toString()).toBe(`${name}:${opened.port} /x\n000\n403\n403\n`);
    expect([opened.requests(), closed.requests()]).toEqual([1, 0]);
  });

  it("does not open agentkernel's own port, nor anything in a locked installation or without a network", async () => {
    await using at = await installation();
    const refused = async (...args: string[]) => (await at.run(["run", "--no-workspace", ...args, "--", "true"])).stderr;
    expect(await refused("--allow-host-port", "18888")).toContain(
      "error[POLICY_DENIED]: --allow-host-port 18888 is agentkernel's own port",
    );
    expect(await refused("--allow-host-port", "0")).toContain("error[VALIDATION]");
    expect(await refused("--allow-host-port", "8080", "-p", "restrictive")).toContain("has no network");
    await at.configure("[egress]\nlocked = true\n");
    expect(await refused("--allow-host-port", "8080")).toContain("is outside the hosts that the operator's configuration permits");
  });
});
