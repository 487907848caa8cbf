import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { testUpstream, type TestUpstream } from "../support/gateway/upstream.ts";
import { installation, type Installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

/** Policy while sandboxes run: over the command line, the API and the file, through real sandboxes. */

const HOST = "api.example.com";
const OTHER = "other.example.com";
/** ms in which a changed verdict has to end what runs */
const CLOSED_WITHIN = 1_000;

let at: Installation;
let upstream: TestUpstream;
let upstreams: string;

beforeAll(async () => {
  at = await installation();
  upstream = await testUpstream((request, response) => {
    response.writeHead(200, { "content-type": "text/plain" });
    if (request.url === "/stream") response.write("begun\n");
    else response.end("ok\n");
  });
  const ca = join(at.home, "ca.pem");
  await writeFile(ca, upstream.override(HOST).ca ?? "");
  upstreams = [HOST, OTHER]
    .map((host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "https://localhost:${upstream.port}"\nca_file = "${ca}"\n`)
    .join("\n");
  await at.configure(upstreams);
});

afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const status = async (box: string, url: string): Promise<string> =>
  (await at.run(["exec", box, "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url])).stdout.toString();

/** A connection that its sandbox keeps: it says `open` after the first answer and `closed` when the other side ends it. */
const KEEP_ALIVE = [
  "import http.client, select, ssl, sys",
  `c = http.client.HTTPSConnection("${HOST}", context=ssl.create_default_context())`,
  'c.request("GET", "/"); c.getresponse().read(); print("open", flush=True)',
  'select.select([c.sock], [], [], 20); print("closed" if c.sock.recv(1) == b"" else "data", flush=True)',
].join("\n");

/** Starts a command line; `closed` is when its output ended, in ms since `performance.timeOrigin`. */
function watch(args: readonly string[]): { readonly text: () => string; readonly ended: Promise<number> } {
  const child = startCli(args, { home: at.home, cwd: at.workspace });
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number>((resolve) => child.once("close", () => resolve(performance.now())));
  return { text: () => text, ended };
}

describe("policy of running sandboxes", requires("bwrap", "curl", "python3"), () => {
  it("a denial names the command that allows it; the command works at once, for this sandbox only", async () => {
    await at.run(["create", "one", "--no-workspace"]);
    await at.run(["create", "two", "--no-workspace"]);
    const denied = await at.run(["exec", "one", "--", "curl", "-s", `https://${HOST}/`]);
    const { hint } = JSON.parse(denied.stdout.toString()) as { hint: string };
    expect(hint).toBe(`agentkernel policy allow ${HOST} --sandbox one`);
    expect(await at.run(hint.split(" ").slice(1))).toMatchObject({ code: 0, stderr: "" });
    expect([await status("one", `https://${HOST}/`), await status("two", `https://${HOST}/`)]).toEqual(["200", "403"]);
    const log = await at.run(["policy", "log", "--denied", "--sandbox", "two"]);
    expect(log.stdout.toString()).toContain(`hint: agentkernel policy allow ${HOST} --sandbox two`);
    const run = await at.run(["run", "--no-workspace", "--", "curl", "-s", `https://${OTHER}/`]);
    expect(JSON.parse(run.stdout.toString())).toMatchObject({ hint: `agentkernel run --allow ${OTHER} …` });
  });

  it("a rule that is made and removed over the API survives a restart of the sandbox and ends with it", async () => {
    await at.run(["stop", "one"]);
    await at.run(["start", "one"]);
    expect(await status("one", `https://${HOST}/`)).toBe("200");
    await at.run(["create", "three", "--no-workspace"]);
    await at.run(["policy", "allow", OTHER, "--sandbox", "three"]);
    await at.run(["rm", "three"]);
    await at.run(["create", "three", "--no-workspace"]);
    expect(await status("three", `https://${OTHER}/`)).toBe("403");
    await at.run(["rm", "three"]);
    const shown = JSON.parse((await at.run(["policy", "ls", "--json"])).stdout.toString()) as { rules: { sandbox: string }[] };
    expect(shown.rules.map((rule) => rule.sandbox)).toEqual(["one"]);
  });

  it("a deny ends a stream and an idle connection within a second, in this server and in a `run` beside it", async () => {
    const stream = watch(["exec", "one", "--", "curl", "-sN", `https://${HOST}/stream`]);
    const idle = watch(["exec", "one", "--", "python3", "-c", KEEP_ALIVE]);
    const beside = watch(["run", "--no-workspace", "--allow", HOST, "--", "curl", "-sN", `https://${HOST}/stream`]);
    await waitFor(() => [stream, beside].every(({ text }) => text().includes("begun")) && idle.text().includes("open"), {
      what: "the connections",
      timeoutMs: 15_000,
    });
    const deny = await at.run(["policy", "deny", HOST, "--wait"]);
    const deniedAt = performance.now();
    expect(deny).toMatchObject({ code: 0 });
    for (const { ended } of [stream, idle, beside]) expect((await ended) - deniedAt).toBeLessThan(CLOSED_WITHIN);
    expect(idle.text()).toBe("open\nclosed\n");
    expect(await status("one", `https://${HOST}/`)).toBe("403");
    const rules = JSON.parse((await at.run(["policy", "ls", "--json"])).stdout.toString()) as { rules: { id: string; effect: string }[] };
    const id = rules.rules.find(({ effect }) => effect === "deny")?.id ?? "";
    expect(await at.run(["policy", "rm", id])).toMatchObject({ code: 0 });
    expect(await status("one", `https://${HOST}/`)).toBe("200");
  });

  it("a rule for a new port says that the sandbox has to be restarted, and then works", async () => {
    const allowed = await at.run(["policy", "allow", `${HOST}:8443`, "--sandbox", "one"]);
    expect(allowed.stderr).toContain("one reaches port 8443 after a restart: agentkernel stop one && agentkernel start one");
    expect(await status("one", `https://${HOST}:8443/`)).toBe("000");
    await at.run(["stop", "one"]);
    await at.run(["start", "one"]);
    expect(await status("one", `https://${HOST}:8443/`)).toBe("200");
  });

  it("rules of the file are read-only over the command line and the API", async () => {
    await at.configure(`${upstreams}\n[[egress.rules]]\nhost = "${OTHER}"\neffect = "deny"\n`);
    await at.run(["serve", "--stop"]);
    const allowed = await at.run(["policy", "allow", OTHER]);
    expect(allowed).toMatchObject({ code: 1 });
    expect(allowed.stderr).toContain("is still denied");
    const removed = await at.run(["policy", "rm", "egress.rules[0]"]);
    expect(removed.stderr).toContain("error[CONFLICT]");
    expect(removed.stderr).toContain("agentkernel.toml");
  });
});
