import type { RemoteInfo } from "node:dgram";
import type { Server, Socket } from "node:net";
import { background, ignore } from "../../base/background.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { EgressAttachment, EgressLimits, Gateway, SandboxEgress, SandboxListeners } from "../../egress/gateway.ts";

export type LateAttachmentOptions = {
  /** the gateway, loaded at the first call */
  readonly load: () => Promise<Gateway>;
  readonly egress: SandboxEgress;
  readonly listeners: SandboxListeners;
  readonly limits: Pick<EgressLimits, "connectionsPerListener" | "connectionsPerSandbox">;
  readonly log: Log;
};

/** Questions of the resolver kept until somebody can answer; clients ask again after those that were dropped. */
const MAX_QUESTIONS = 64;

/**
 * The listeners of a sandbox from before the gateway is loaded: what arrives first is held, unread, and everything goes to the
 * gateway as soon as it is there. Nothing is ever answered from here, so that there is one place that decides.
 */
export class LateAttachment implements EgressAttachment {
  readonly #options: LateAttachmentOptions;
  readonly #sockets = new Map<Socket, Server>();
  readonly #questions: { readonly message: Buffer; readonly from: RemoteInfo }[] = [];
  readonly #undo: (() => void)[] = [];
  #egress: SandboxEgress;
  #taking: Promise<void> | undefined;
  #taken: EgressAttachment | undefined;
  #isClosed = false;

  constructor(options: LateAttachmentOptions) {
    this.#options = options;
    this.#egress = options.egress;
    const { listeners, limits, log } = options;
    for (const [port, server] of listeners.tcp) {
      server.maxConnections = limits.connectionsPerListener;
      const onConnection = (socket: Socket): void => this.#hold(server, socket);
      const onError = (error: Error): void => log.warn("a connection could not be accepted", { port, error: messageOf(error) });
      server.on("connection", onConnection).on("error", onError);
      this.#undo.push(() => server.off("connection", onConnection).off("error", onError));
    }
    const { dns } = listeners;
    if (dns === undefined) return;
    const onMessage = (message: Buffer, from: RemoteInfo): void => this.#ask(message, from);
    const onError = (error: Error): void => log.warn("a question to the resolver was lost", { error: messageOf(error) });
    dns.on("message", onMessage).on("error", onError);
    this.#undo.push(() => dns.off("message", onMessage).off("error", onError));
  }

  update(egress: SandboxEgress): void {
    this.#egress = egress;
    this.#taken?.update(egress);
  }

  async drain(deadlineMs: number): Promise<void> {
    await this.#taken?.drain(deadlineMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    if (this.#taken !== undefined) return this.#taken[Symbol.asyncDispose]();
    for (const undo of this.#undo.splice(0)) undo();
    this.#drop();
    const { tcp, dns } = this.#options.listeners;
    dns?.close();
    await Promise.all(
      [...tcp.values()].map(
        (server) => new Promise<void>((resolve) => void (server.listening ? server.close(() => resolve()) : resolve())),
      ),
    );
  }

  #hold(server: Server, socket: Socket): void {
    if (this.#isClosed || this.#sockets.size >= this.#options.limits.connectionsPerSandbox) {
      socket.destroy();
      return;
    }
    socket.on("error", destroyOnError);
    socket.once("close", () => this.#sockets.delete(socket));
    this.#sockets.set(socket, server);
    this.#take();
  }

  #ask(message: Buffer, from: RemoteInfo): void {
    if (this.#questions.length < MAX_QUESTIONS) this.#questions.push({ message, from });
    this.#take();
  }

  #take(): void {
    if (this.#taking !== undefined) return;
    const taking = this.#handOver();
    this.#taking = taking;
    background("serve a sandbox's first connection", taking, this.#options.log);
    ignore(
      taking.catch(() => {
        // closed and not held for ever: the next connection tries again
        this.#drop();
        this.#taking = undefined;
      }),
      "logged above",
    );
  }

  async #handOver(): Promise<void> {
    const gateway = await this.#options.load();
    if (this.#isClosed) return;
    for (const undo of this.#undo.splice(0)) undo();
    const { listeners } = this.#options;
    try {
      this.#taken = gateway.attach(this.#egress, listeners);
    } catch (error) {
      // nobody listens any more, so nobody may connect
      await this[Symbol.asyncDispose]();
      throw error;
    }
    for (const [socket, server] of this.#sockets) {
      socket.off("error", destroyOnError);
      if (!socket.destroyed) server.emit("connection", socket);
    }
    this.#sockets.clear();
    for (const { message, from } of this.#questions.splice(0)) listeners.dns?.emit("message", message, from);
  }

  #drop(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#sockets.clear();
    this.#questions.length = 0;
  }
}

/** A reset by the sandbox's side is ordinary. */
function destroyOnError(this: Socket): void {
  this.destroy();
}
