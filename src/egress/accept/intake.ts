import { TLSSocket } from "node:tls";
import { messageOf } from "../../base/error.ts";
import { BUILT_IN_RULES } from "../../policy/decision.ts";
import { parseHost } from "../../policy/host.ts";
import { rawAnswer } from "../exchange/refusal.ts";
import type { Runtime } from "../runtime.ts";
import { MAX_CLIENT_HELLO, readClientHello, type ClientHello } from "../tls/client-hello.ts";
import type { Connection } from "./connection.ts";
import { decide } from "./generation.ts";
import { sniff } from "./sniff.ts";
import { tunnel } from "./tunnel.ts";

// record headers and the unfragmented rest come on top of the hello itself
const MAX_FIRST_BYTES = MAX_CLIENT_HELLO + 2048;

/** Reads the first bytes of a connection and hands it to TLS or HTTP. The connection's deadline ends whoever sends them slowly. */
export function intake(runtime: Runtime, connection: Connection): void {
  const { socket } = connection;
  let bytes: Buffer = Buffer.alloc(0);
  const onReadable = (): void => guarded(runtime, connection, look);
  const look = (): void => {
    for (let chunk = read(); chunk !== null; chunk = read()) bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    if (bytes.length === 0) return;
    if (judge(runtime, connection, bytes, done)) return;
    if (bytes.length > MAX_FIRST_BYTES) reject(connection, "tcp", "the first bytes are neither HTTP nor TLS");
  };
  const read = (): Buffer | null => socket.read() as Buffer | null;
  /** gives the bytes back and stops listening; whoever comes next sees the connection from its first byte */
  const done = (): void => {
    socket.off("readable", onReadable);
    socket.off("end", onEnd);
    socket.unshift(bytes);
  };
  const onEnd = (): void => connection.destroy();
  socket.on("readable", onReadable);
  socket.on("end", onEnd);
}

/** true: decided, whatever the outcome */
function judge(runtime: Runtime, connection: Connection, bytes: Buffer, done: () => void): boolean {
  const { port } = connection.destination;
  switch (sniff(bytes)) {
    case "more":
      return false;
    case "garbage":
      reject(connection, "tcp", "the first bytes are neither HTTP nor TLS");
      return true;
    case "h2":
      reject(connection, "http", "HTTP/2 without TLS is not spoken here");
      return true;
    case "http1":
      done();
      if (port === 443) {
        const reason = "this is port 443, and what came is not TLS";
        connection.attachment.decided("http", "deny", BUILT_IN_RULES.protocol, reason, { host: connection.expected.text, port });
        const facts = { status: 400, error: "bad_request", host: connection.expected.text, port, rule: BUILT_IN_RULES.protocol, reason };
        connection.socket.end(rawAnswer({ ...facts, hint: "use https:// for port 443" }));
      } else {
        runtime.acceptHttp1(connection, connection.socket);
      }
      return true;
    case "tls": {
      const read = readClientHello(bytes);
      if (read.kind === "more") return false;
      if (read.kind === "invalid") {
        reject(connection, "tls", read.reason);
        return true;
      }
      done();
      acceptTls(runtime, connection, read.hello);
      return true;
    }
  }
}

function acceptTls(runtime: Runtime, connection: Connection, hello: ClientHello): void {
  const { expected, attachment, destination } = connection;
  connection.scheme = "https";
  if (hello.maxVersion < 0x0303) return reject(connection, "tls", "TLS below 1.2 is not spoken here");
  if (hello.serverName !== null) {
    const name = parseHost(hello.serverName);
    if (name.kind === "invalid") return reject(connection, "tls", `the name in the ClientHello is not a host name: it ${name.reason}`);
    if (name.kind !== "name") return reject(connection, "tls", "the name in the ClientHello is an address (RFC 6066 §3)");
    connection.serverName = name;
  } else if (expected.kind === "name") {
    return reject(connection, "tls", "the ClientHello carries no name");
  }
  const host = connection.serverName ?? expected;
  const decision = decide(attachment.generation, { host, port: destination.port, scheme: "https" });
  if (hello.serverName === null && decision.verdict === "deny") {
    attachment.decided("tls", "deny", decision.rule, `${decision.reason} (TLS to an address, without a name)`, {
      host: host.text,
      port: destination.port,
      address: destination.address,
    });
    connection.destroy();
    return;
  }
  if (decision.verdict === "allow" && decision.effect === "tunnel" && host.text === expected.text) {
    tunnel(runtime, connection, decision);
    return;
  }
  terminate(runtime, connection, host.text);
}

function terminate(runtime: Runtime, connection: Connection, host: string): void {
  if (!runtime.contexts.has(host) && !connection.attachment.mayMint()) {
    return reject(connection, "tls", "new host names come faster than permitted");
  }
  const startedAt = runtime.clock.monotonic();
  // denied hosts too get a leaf: the refusal is only readable through TLS
  const secure = new TLSSocket(connection.socket, {
    isServer: true,
    secureContext: runtime.contexts.for(host),
    // HTTP/1.1 first: who speaks both is served faster that way
    ALPNProtocols: ["http/1.1", "h2"],
  });
  secure.on("error", (error) => {
    runtime.log.debug("TLS with a sandbox failed", { host, error: messageOf(error) });
    connection.destroy();
  });
  const onSecure = (): void => {
    runtime.metrics.tlsHandshake((runtime.clock.monotonic() - startedAt) / 1000);
    // a second ClientHello (after HelloRetryRequest) must not carry another name than the one that was judged
    const name = (secure as { servername?: string | false | null }).servername;
    if (connection.serverName !== null && name !== false && name !== null && name !== undefined) {
      const again = parseHost(name);
      if (again.kind === "invalid" || again.text !== connection.serverName.text)
        return reject(connection, "tls", "the ClientHello's name changed");
    }
    // from here the head's deadline counts
    connection.deadlineAt = runtime.clock.monotonic() + runtime.limits.handshakeTimeoutMs;
    // only tls.Server clears this, and an HTTP/2 session waits for ever while it is set
    Object.assign(secure, { secureConnecting: false });
    if (secure.alpnProtocol === "h2") runtime.acceptHttp2(connection, secure);
    else runtime.acceptHttp1(connection, secure);
  };
  secure.once("secure", () => guarded(runtime, connection, onSecure));
}

/** A fault while accepting costs this connection and never the process that carries all others. */
function guarded(runtime: Runtime, connection: Connection, work: () => void): void {
  try {
    work();
  } catch (error) {
    runtime.log.error("a connection could not be served", { host: connection.expected.text, error: messageOf(error) });
    connection.destroy();
  }
}

function reject(connection: Connection, protocol: "tcp" | "tls" | "http", reason: string): void {
  const { address, port } = connection.destination;
  connection.attachment.decided(protocol, "deny", BUILT_IN_RULES.protocol, reason, { host: connection.expected.text, port, address });
  connection.destroy();
}
