import type { Server, Socket } from "node:net";
import type { SandboxListeners } from "../../src/sandbox/backend.ts";

export type RecordedConnection = { readonly address: string; readonly port: number };

/**
 * Stands where the gateway stands: takes the listeners of sandboxes, answers every connection with where it was going to, and every
 * name with 198.18.0.1.
 */
export class AttachRecorder implements AsyncDisposable {
  readonly connections: RecordedConnection[] = [];
  readonly names: string[] = [];
  readonly #open: SandboxListeners[] = [];
  readonly #sockets = new Set<Socket>();

  attach = async (listeners: SandboxListeners): Promise<void> => {
    this.#open.push(listeners);
    for (const server of listeners.tcp.values()) this.#serve(server);
    listeners.dns?.on("message", (query, from) => {
      const answer = this.#answer(query);
      if (answer !== undefined) listeners.dns?.send(answer, from.port, from.address);
    });
  };

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const { tcp, dns } of this.#open.splice(0)) {
      for (const server of tcp.values()) server.close();
      dns?.close();
    }
  }

  #serve(server: Server): void {
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      const [address, port] = [socket.localAddress ?? "", socket.localPort ?? 0];
      this.connections.push({ address, port });
      socket.once("data", () => {
        const body = `to ${address}:${port}\n`;
        socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      });
    });
  }

  /** An A record for a question of type A, nothing for others (RFC 1035). */
  #answer(query: Buffer): Buffer | undefined {
    const labels: string[] = [];
    let at = 12;
    while ((query[at] ?? 0) > 0) {
      const length = query[at] ?? 0;
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
      if (at >= query.length) return undefined;
    }
    this.names.push(labels.join("."));
    const question = query.subarray(12, at + 5);
    const isA = query.readUInt16BE(at + 1) === 1;
    const header = Buffer.from([query[0] ?? 0, query[1] ?? 0, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1]);
    return Buffer.concat([header, question, ...(isA ? [record] : [])]);
  }
}
