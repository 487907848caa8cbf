import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { testUpstream } from "../support/gateway/upstream.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

/** Settings of `[egress]` that need a connection to be seen. */

const CODE = "curl -s -o /dev/null -m 20 -w '%{http_code}'";

describe("[egress]", requires("bwrap", "curl"), () => {
  it("upstream_proxy is asked for the vetted address, with its credentials", async () => {
    const asked: string[] = [];
    const proxy = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.once("data", (head: Buffer) => {
        asked.push(head.toString("latin1"));
        socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      });
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    try {
      await using at = await installation();
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const rule = '[[egress.rules]]\nhost = "93.184.216.34"\n';
      const run = () =>
        at.run(["run", "--no-workspace", "--", "sh", "-c", `${CODE} http://93.184.216.34/`], { env: { PROXY_AUTH: "me:pass" } });
      await at.configure(`[egress]\nupstream_proxy = { url = "${url}", auth = { env = "PROXY_AUTH" } }\n${rule}`);
      expect((await run()).stdout.toString()).toMatch(/^50\d$/);
      expect(asked[0]).toMatch(/^CONNECT 93\.184\.216\.34:80 /);
      expect(asked[0]).toContain(`Proxy-Authorization: Basic ${Buffer.from("me:pass").toString("base64")}`);
      await at.configure(`[egress]\nupstream_proxy = "${url}"\n${rule}`);
      await run();
      expect(asked.at(-1)).toMatch(/^CONNECT 93\.184\.216\.34:80 /);
      expect(asked.at(-1)).not.toContain("Proxy-Authorization");
    } finally {
      proxy.close();
    }
  }, 60_000);

  it("ca_file is trusted for every upstream, and that of an upstream for it alone", async () => {
    await using upstream = await testUpstream((_request, response) => response.end("ok"));
    await using at = await installation();
    const file = join(at.home, "ca.pem");
    await writeFile(file, upstream.override("x").ca ?? "");
    const to = (host: string, more = ""): string =>
      `[[egress.rules]]\nhost = "${host}"\n[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${upstream.port}"\n${more}\n`;
    const codes = async (): Promise<string> =>
      (
        await at.run(["run", "--no-workspace", "--", "sh", "-c", `${CODE} https://one.example/; ${CODE} https://two.example/`])
      ).stdout.toString();
    await at.configure(`[egress]\nca_file = "${file}"\n${to("one.example")}${to("two.example")}`);
    expect(await codes()).toBe("200200");
    await at.configure(`${to("one.example", `ca_file = "${file}"`)}${to("two.example")}`);
    expect(await codes()).toBe("200502");
  }, 60_000);

  it("observe allows what rules deny, and the record says so", async () => {
    await using upstream = await testUpstream((_request, response) => response.end("ok"));
    await using at = await installation();
    const file = join(at.home, "ca.pem");
    await writeFile(file, upstream.override("x").ca ?? "");
    await at.configure(
      `[egress]\nmode = "observe"\n[[egress.upstreams]]\nhost = "one.example"\nurl = "https://localhost:${upstream.port}"\nca_file = "${file}"\n`,
    );
    expect((await at.run(["run", "--no-workspace", "--", "sh", "-c", `${CODE} https://one.example/`])).stdout.toString()).toBe("200");
    const logged = (await at.run(["policy", "log", "--denied", "--json"])).stdout.toString();
    expect(logged).toContain('"observed":true');
  }, 60_000);
});
