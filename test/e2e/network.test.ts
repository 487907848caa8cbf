import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createStandIn, type StandIn } from "../../src/demo/stand-in.ts";
import type { ExchangeEvent } from "../../src/schema/event.ts";
import { cli, type CliResult, stateHome } from "../support/cli.ts";
import { requires } from "../support/requires.ts";

/** Everything that leaves a sandbox, from inside, through the installed command. */

let base: string;
let home: string;
let project: string;
let standIn: StandIn;
let canary: Server;
let canaryPort: number;
let canaryHits = 0;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), "agentkernel-network-"));
  home = stateHome(base);
  project = join(base, "project");
  mkdirSync(project);
  standIn = await createStandIn();
  mkdirSync(join(home, "config/agentkernel"), { recursive: true });
  writeFileSync(join(home, "ca.pem"), standIn.caPem);
  const upstreams = ["api.openai.com", "api.anthropic.com"].map(
    (host) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "${standIn.origin}"\nca_file = "${join(home, "ca.pem")}"\n`,
  );
  writeFileSync(join(home, "config/agentkernel/agentkernel.toml"), upstreams.join("\n"));
  canary = createServer((socket) => {
    canaryHits += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => canary.listen(0, "0.0.0.0", resolve));
  const address = canary.address();
  canaryPort = typeof address === "object" && address !== null ? address.port : 0;
});

afterAll(async () => {
  await cli(["serve", "--stop"], { home });
  await standIn?.close();
  await new Promise((resolve) => canary.close(resolve));
  expect(canaryHits).toBe(0);
  rmSync(base, { recursive: true, force: true });
});

const sh = (script: string, flags: readonly string[] = ["--allow", "api.openai.com"]): Promise<CliResult> =>
  cli(["run", ...flags, "--", "sh", "-c", script], { home, cwd: project });

const MODELS = "https://api.openai.com/v1/models";

describe("what is allowed goes through without any proxy variable", requires("bwrap"), () => {
  it("curl", requires("curl"), async () => {
    const result = await sh(`env | grep -i proxy; curl -sS ${MODELS}`);
    expect(result.stderr).toBe("");
    expect(JSON.parse(result.stdout.toString())).toMatchObject({ object: "list" });
  });

  it("curl with every certificate variable taken away", requires("curl"), async () => {
    const result = await sh(`exec env -i PATH=/usr/bin:/bin curl -sS --noproxy '*' ${MODELS}`);
    expect(result.stderr).toBe("");
    expect(JSON.parse(result.stdout.toString())).toMatchObject({ object: "list" });
  });

  it("Node's fetch", async () => {
    const node = process.execPath;
    const staged = join(base, "node");
    mkdirSync(staged, { recursive: true });
    execFileSync("cp", [node, join(staged, "node")]);
    const script = `fetch("${MODELS}").then((r) => r.json()).then((j) => console.log(j.object))`;
    const result = await cli(
      ["run", "--allow", "api.openai.com", "--mount", `${staged}:/opt/node:ro`, "--", "/opt/node/node", "-e", script],
      { home, cwd: project },
    );
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout.toString()).toBe("list\n");
  });

  it("Python's urllib", requires("python3"), async () => {
    const result = await sh(`python3 -c 'import urllib.request, json; print(json.load(urllib.request.urlopen("${MODELS}"))["object"])'`);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout.toString()).toBe("list\n");
  });
});

describe("what no rule allows is denied, readably", requires("bwrap", "curl"), () => {
  it("https and http, with host, rule, reason and the command that would allow it", async () => {
    for (const scheme of ["https", "http"]) {
      const result = await sh(`curl -sS -o /tmp/body -w '%{http_code}' ${scheme}://example.com/; echo; cat /tmp/body`);
      const [status, body] = result.stdout.toString().split("\n");
      expect(status).toBe("403");
      expect(JSON.parse(body ?? "")).toMatchObject({
        error: "policy_denied",
        host: "example.com",
        rule: "default",
        hint: expect.stringContaining("--allow example.com"),
      });
    }
  });

  it("a host that is allowed does not open its neighbours, and taking variables away changes nothing", async () => {
    const result = await sh(
      "for host in openai.com evilapi.openai.com api.openai.com.evil.net; do env -i curl -sk -o /dev/null -w '%{http_code} ' https://$host/; done",
    );
    expect(result.stdout.toString()).toBe("403 403 403 ");
  });

  it("records it with rule and reason", async () => {
    await cli(["run", "--label", "test=denied", "--", "curl", "-s", "https://example.org/secret?key=sk-verysecretvalue1234567890"], {
      home,
      cwd: project,
    });
    const tail = await cli(["audit", "tail", "--json", "-n", "50"], { home });
    const events = tail.stdout
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as ExchangeEvent);
    const denied = events.find((event) => event.type === "egress.exchange" && event.host === "example.org");
    expect(denied).toMatchObject({ decision: "deny", rule: "default", status: 403, labels: { test: "denied" } });
    expect(tail.stdout.toString()).not.toContain("verysecretvalue");
  });
});

describe("nothing else leaves", requires("bwrap", "curl"), () => {
  const lan = Object.values(networkInterfaces())
    .flat()
    .find((one) => one !== undefined && one.family === "IPv4" && !one.internal)?.address;

  it("addresses: loopback of the host, its own address, private, metadata, IPv6", async () => {
    const targets = ["127.0.0.1", ...(lan === undefined ? [] : [lan]), "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"];
    const result = await sh(
      targets.map((ip) => `curl -s -m 3 -o /dev/null -w '%{http_code}/%{exitcode} ' http://${ip}:${canaryPort}/;`).join(" "),
    );
    expect(result.stdout.toString()).toBe("000/7 ".repeat(targets.length));
    const metadata = await sh(
      "for ip in 169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192; do curl -s -m 3 -o /dev/null -w '%{http_code} ' http://$ip/latest/meta-data/; done; curl -s -m 3 -o /dev/null -w '%{exitcode}' 'http://[fd00:ec2::254]/'",
    );
    expect(metadata.stdout.toString()).toMatch(/^403 403 403 403 (7|0)$/);
  });

  it("other ports are refused at once", async () => {
    const result = await sh("for port in 22 25 8080 5432; do curl -s -m 3 telnet://api.openai.com:$port </dev/null; printf '%s ' $?; done");
    expect(result.stdout.toString()).toBe("7 7 7 7 ");
  });

  it("UDP and ICMP reach nobody", requires("python3"), async () => {
    const script = [
      "import socket",
      "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(1)",
      "u.sendto(b'x', ('93.184.216.34', 443))",
      "try: u.recvfrom(10); print('answered')",
      "except OSError as e: print('udp silent')",
      "try: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); print('raw socket')",
      "except OSError as e: print('no raw sockets')",
    ].join("\n");
    const result = await sh(`python3 -c "${script}"`);
    expect(result.stdout.toString()).toBe("udp silent\nno raw sockets\n");
  });

  it("another sandbox", requires("python3"), async () => {
    await cli(["create", "listener", "--no-workspace"], { home });
    await cli(["exec", "-d", "listener", "--", "python3", "-m", "http.server", "8099"], { home });
    const own = await cli(
      [
        "exec",
        "listener",
        "--",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9 10; do curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8099/ && break; sleep 0.2; done",
      ],
      { home },
    );
    expect(own.stdout.toString()).toMatch(/200$/);
    const other = await sh("curl -s -m 3 -o /dev/null -w '%{http_code}' http://127.0.0.1:8099/");
    expect(other.stdout.toString()).toBe("000");
    await cli(["rm", "listener"], { home });
  });

  it("the restrictive profile has no network at all", async () => {
    const result = await cli(
      [
        "run",
        "-p",
        "restrictive",
        "--no-workspace",
        "--",
        "sh",
        "-c",
        "curl -s -m 3 https://api.openai.com/; echo $?; ls /sys/class/net 2>/dev/null",
      ],
      { home },
    );
    expect(result.stdout.toString().split("\n")[0]).toMatch(/^(6|7)$/);
  });
});

describe("keys", requires("bwrap", "curl"), () => {
  it("stay outside: inside is a placeholder, upstream gets the key", async () => {
    const key = "sk-proj-realkeyrealkeyrealkeyrealkey1234";
    const set = await cli(["secret", "set", "OPENAI_API_KEY"], { home, input: `${key}\n` });
    expect(set.code).toBe(0);
    const body = '{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}';
    const result = await sh(
      `echo $OPENAI_API_KEY; curl -sS https://api.openai.com/v1/chat/completions -H "authorization: Bearer $OPENAI_API_KEY" -H 'content-type: application/json' -d '${body}'`,
      ["--secret", "OPENAI_API_KEY:api.openai.com"],
    );
    const [placeholder, answer] = result.stdout.toString().split("\n");
    expect(placeholder).toMatch(/^sk-proj-/);
    expect(placeholder).toHaveLength(key.length);
    expect(result.stdout.toString()).not.toContain("realkey");
    expect(JSON.parse(answer ?? "")).toMatchObject({ object: "chat.completion" });
    expect(standIn.requests.at(-1)?.key).toBe(`Bearer ${key}`);
    const usage = await cli(["llm", "usage", "--by", "model", "--json"], { home });
    expect(JSON.parse(usage.stdout.toString())).toContainEqual(expect.objectContaining({ key: "gpt-5-mini", request_count: 1 }));
  });

  it("go nowhere else", async () => {
    const result = await sh(
      "curl -s -o /dev/null -w '%{http_code}' https://api.anthropic.com/v1/messages -H \"x-api-key: $OPENAI_API_KEY\" -d '{}'",
      ["--secret", "OPENAI_API_KEY:api.openai.com", "--allow", "api.anthropic.com"],
    );
    expect(result.stdout.toString()).toBe("403");
  });
});
