import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../support/free-port.ts";
import { startChild } from "./child.ts";
import type { Target } from "./connection.ts";
import { LLM_HOST } from "./traffic.ts";

/** Another program that does what the gateway does, or a part of it; absent where it is not installed. */
export type RunningPeer = { readonly name: string; readonly target: Target } | { readonly name: string; readonly absent: string };

export type Upstream = { readonly port: number; readonly ca: string; readonly caFile: string };

type Certificate = { readonly key: string; readonly cert: string };

export async function startMockttp(stack: AsyncDisposableStack, upstream: Upstream): Promise<RunningPeer> {
  const manifest = await readFile(new URL("../../node_modules/mockttp/package.json", import.meta.url), "utf8").catch(() => undefined);
  if (manifest === undefined) return { name: "mockttp", absent: "not installed" };
  const { version } = JSON.parse(manifest) as { version: string };
  const program = await startChild<{ port: number; ca: string }>("mockttp-program.ts", {
    upstreamPort: upstream.port,
    upstreamCa: upstream.ca,
  });
  stack.use(program);
  return { name: `mockttp ${version}`, target: { port: program.ready.port, servername: LLM_HOST, ca: program.ready.ca } };
}

/** A plain TLS reverse proxy: no policy, no metering, one line of access log for each request. */
export async function startNginx(
  stack: AsyncDisposableStack,
  dir: string,
  upstream: Upstream,
  own: Certificate & { readonly ca: string },
): Promise<RunningPeer> {
  const version = versionOf("nginx", ["-v"], /nginx\/([\d.]+)/);
  if (version === undefined) return { name: "nginx", absent: "not installed" };
  const folder = join(dir, "nginx");
  await mkdir(folder);
  await writeFile(join(folder, "key.pem"), own.key, { mode: 0o600 });
  await writeFile(join(folder, "cert.pem"), own.cert);
  const { port } = await freePort();
  await writeFile(join(folder, "nginx.conf"), nginxConfig(folder, port, upstream));
  await startPeer(stack, "nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", join(folder, "error.log")], port);
  return { name: `nginx ${version}`, target: { port, servername: LLM_HOST, ca: own.ca } };
}

function nginxConfig(folder: string, port: number, upstream: Upstream): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
  return `daemon off; worker_processes 1; pid ${folder}/pid; ${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 4096; }
http {
  access_log ${folder}/access.log; ${temporary}
  upstream provider { server 127.0.0.1:${upstream.port}; keepalive 128; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port} ssl; keepalive_requests 1000000;
    ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
    location / {
      proxy_pass https://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ${upstream.caFile}; proxy_ssl_name localhost; proxy_ssl_server_name on;
    }
  }
}
`;
}

export async function startMitmproxy(stack: AsyncDisposableStack, dir: string, upstream: Upstream): Promise<RunningPeer> {
  const version = versionOf("mitmdump", ["--version"], /Mitmproxy: ([\d.]+)/);
  if (version === undefined) return { name: "mitmproxy", absent: "not installed" };
  const folder = join(dir, "mitmproxy");
  await mkdir(folder);
  const { port } = await freePort();
  const options = [
    `confdir=${folder}`,
    "listen_host=127.0.0.1",
    `listen_port=${port}`,
    `ssl_verify_upstream_trusted_ca=${upstream.caFile}`,
    "http2=false",
    "keep_host_header=true",
  ];
  const mode = `reverse:https://localhost:${upstream.port}`;
  await startPeer(stack, "mitmdump", ["--quiet", "--mode", mode, ...options.flatMap((option) => ["--set", option])], port);
  const ca = await readFile(join(folder, "mitmproxy-ca-cert.pem"), "utf8");
  return { name: `mitmproxy ${version}`, target: { port, servername: "localhost", ca } };
}

function versionOf(command: string, args: readonly string[], pattern: RegExp): string | undefined {
  const { error, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: 20_000 });
  return error === undefined ? (pattern.exec(`${stdout}${stderr}`)?.[1] ?? "?") : undefined;
}

async function startPeer(stack: AsyncDisposableStack, command: string, args: readonly string[], port: number): Promise<void> {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], cwd: "/" });
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await exit;
    clearTimeout(timer);
  });
  const deadline = performance.now() + 20_000;
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error(`${command} does not listen`);
    await delay(50);
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    // not yet
    return false;
  } finally {
    socket.destroy();
  }
}
