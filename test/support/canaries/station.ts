/**
 * One side of a cable, in a network namespace of its own: listens for everything that must not arrive, and says what did. Run by
 * `network.ts`; speaks JSON lines.
 *
 *     station.ts host|world DIR OUTER-NAMESPACE
 */
import { execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { serveNames } from "./dns.ts";
import { ABSTRACT_SOCKET, HOST_V4, TCP_PORTS, UDP_PORTS, WORLD_V4, WORLD_V6 } from "./names.ts";

const [role = "", dir = "", outer = ""] = process.argv.slice(2);
const own = readlinkSync("/proc/self/ns/net");
// nothing is listened for, and no address is taken, in the network of whoever runs the tests
if (outer === "" || own === outer) throw new Error("this is no network namespace of its own");

const hits: unknown[] = [];
const ip = (...args: string[]): void => void execFileSync("ip", args, { stdio: ["ignore", "inherit", "inherit"] });
const say = (what: unknown): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
const listening: Promise<unknown>[] = [];

function note(server: Server, kind: string): Server {
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    hits.push({ kind, role, to: `${socket.localAddress?.replace(/^::ffff:/, "") ?? "?"}:${socket.localPort ?? "?"}` });
  });
  return server;
}

const answer: RequestListener = (request, response) => {
  const body: Buffer[] = [];
  request.on("data", (chunk: Buffer) => body.push(chunk));
  request.on("end", () => {
    hits.push({
      kind: "request",
      role,
      to: request.headers.host,
      sent: `${request.method} ${request.url} ${request.rawHeaders.join(" ")}`,
    });
    hits.push({ kind: "body", role, to: request.headers.host, sent: Buffer.concat(body).toString("latin1") });
    // the next request dials anew, and resolves anew
    response.setHeader("connection", "close");
    if (request.headers.host === "redirect.example.com") response.writeHead(302, { location: "http://169.254.169.254/latest/meta-data/" });
    response.end("reached\n");
  });
};

function listen(): void {
  for (const port of TCP_PORTS) {
    const isTls = role === "world" && (port === 443 || port === 8443);
    const server = isTls
      ? createHttps({ key: readFileSync(join(dir, "key.pem")), cert: readFileSync(join(dir, "cert.pem")) }, answer)
      : role === "world" && port === 80
        ? createHttp(answer)
        : createServer((socket) => socket.end("canary\n"));
    listening.push(new Promise((done) => note(server, "tcp").listen(port, "::", () => done(undefined))));
  }
  for (const port of UDP_PORTS) {
    if (role === "world" && port === 53) continue;
    const socket = createSocket("udp6");
    socket.on("message", (_message, peer) => hits.push({ kind: "udp", role, to: String(port), from: peer.address }));
    listening.push(new Promise((done) => socket.bind(port, "::", () => done(undefined))));
  }
  if (role === "world") serveNames("10.20.30.2", (name) => hits.push({ kind: "dns", role, to: name }));
  else listening.push(new Promise((done) => note(createServer(), "abstract").listen(`\0${ABSTRACT_SOCKET}`, () => done(undefined))));
}

/** Echo requests that this namespace was sent, in both families, as the kernel counts them. */
function echoes(): number {
  const [names = "", values = ""] = readFileSync("/proc/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Icmp: "));
  const four = Number(values.split(" ")[names.split(" ").indexOf("InEchos")]);
  const six = Number(/^Icmp6InEchos\s+(\d+)/m.exec(readFileSync("/proc/net/snmp6", "utf8"))?.[1]);
  return four + six;
}

function report(): void {
  say({ hits: hits.splice(0), echoes: echoes() });
}

async function world(): Promise<void> {
  say({ pid: process.pid });
  // the cable is plugged in by the other side
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "plugged") {
      ip("link", "set", "lo", "up");
      for (const address of WORLD_V4) ip("addr", "add", `${address}/${/^(?:10\.20|192\.168\.77)/.test(address) ? 24 : 32}`, "dev", "wan0");
      for (const address of WORLD_V6) ip("-6", "addr", "add", `${address}/64`, "dev", "wan0", "nodad");
      ip("link", "set", "wan0", "up");
      listen();
      await Promise.all(listening);
      say({ up: true });
    }
    if (line === "report") report();
  }
}

async function host(): Promise<void> {
  const far = spawn("unshare", ["-n", "--", process.execPath, process.argv[1] ?? "", "world", dir, outer], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: far.stdout })[Symbol.asyncIterator]();
  const { pid } = JSON.parse(String((await lines.next()).value)) as { pid: number };
  ip("link", "set", "lo", "up");
  ip("link", "add", "lan0", "type", "veth", "peer", "name", "wan0", "netns", String(pid));
  for (const address of HOST_V4) ip("addr", "add", `${address}/24`, "dev", "lan0");
  ip("-6", "addr", "add", "fd00:77::1/64", "dev", "lan0", "nodad");
  ip("link", "set", "lan0", "up");
  ip("route", "add", "default", "via", "10.20.30.2");
  ip("-6", "route", "add", "default", "via", "fd00:77::2");
  far.stdin.write("plugged\n");
  await lines.next();
  const files = {
    "resolv.conf": "nameserver 10.20.30.2\noptions timeout:1 attempts:1\n",
    hosts: "127.0.0.1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
  };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text);
    execFileSync("mount", ["--bind", join(dir, name), `/etc/${name}`]);
  }
  execFileSync("mount", ["--bind", readFileSync(join(dir, "checkout"), "utf8"), join(dir, "program")]);
  listen();
  await Promise.all(listening);
  say({ pid: process.pid });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== "report") continue;
    far.stdin.write("report\n");
    const there = JSON.parse(String((await lines.next()).value)) as object;
    say({ world: there, host: { hits: hits.splice(0), echoes: echoes() } });
  }
  far.stdin.end();
}

await (role === "world" ? world() : host());
process.exit(0);
