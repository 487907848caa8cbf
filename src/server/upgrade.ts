import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { AppError, messageOf } from "../base/error.ts";
import { background } from "../base/background.ts";
import { newId } from "../base/id.ts";
import type { Log } from "../base/log.ts";
import type { App } from "../app/facade.ts";
import { sandboxName } from "../schema/api.ts";
import { EXEC_MAX_MESSAGE, EXEC_SUBPROTOCOL } from "../schema/exec-frames.ts";
import type { Authenticator, Transport } from "./auth.ts";
import { failureOf } from "./envelope.ts";
import { serveExecSocket } from "./exec-socket.ts";
import { originFacts } from "./http-app.ts";
import { checkOrigin, type OriginRules } from "./origin.ts";

/** ms that a peer gets to read a refusal and to close */
const LINGER_MS = 1_000;

export type UpgradeOptions = {
  readonly app: App;
  readonly rules: OriginRules;
  readonly authenticator: Authenticator;
  readonly log: Log;
  readonly stopping: AbortSignal;
  readonly halted: AbortSignal;
};

/** Turns requests for a WebSocket into execs, after the same door as every other request. */
export class Upgrades {
  readonly #options: UpgradeOptions;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: EXEC_MAX_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(EXEC_SUBPROTOCOL) ? EXEC_SUBPROTOCOL : false),
  });

  constructor(options: UpgradeOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#sockets.clients.size;
  }

  handle(incoming: IncomingMessage, socket: Duplex, head: Buffer, transport: Transport): void {
    // until ws takes over, a reset would otherwise be an uncaught error
    const onError = (): void => void socket.destroy();
    socket.on("error", onError);
    const requestId = newId("req");
    const accept = async (): Promise<void> => {
      try {
        const { name, actor } = await this.#admit(incoming, transport, requestId);
        if (socket.destroyed) return;
        socket.off("error", onError);
        this.#sockets.handleUpgrade(incoming, socket, head, (websocket) => {
          const { app, log, halted } = this.#options;
          serveExecSocket(websocket, { app, name, caller: { actor, requestId }, log, halted });
        });
      } catch (error) {
        refuse(socket, failureOf(error, requestId, this.#options.log));
      }
    };
    background("upgrade", accept(), this.#options.log);
  }

  /** Ends every connection without ceremony. */
  terminate(): void {
    for (const client of this.#sockets.clients) client.terminate();
  }

  async #admit(incoming: IncomingMessage, transport: Transport, requestId: string) {
    const { app, rules, authenticator, stopping } = this.#options;
    const path = (incoming.url ?? "").split("?")[0] ?? "";
    checkOrigin(originFacts(incoming, transport), rules);
    const actor = await authenticator.authenticate(incoming, { transport, path, requestId });
    const name = sandboxName.safeParse(decode(/^\/sandboxes\/([^/]+)\/exec\/ws$/.exec(path)?.[1] ?? ""));
    if (!name.success) throw new AppError("NOT_FOUND", "there is no WebSocket here", { hint: "GET /sandboxes/{name}/exec/ws" });
    if (incoming.method !== "GET" || incoming.headers.upgrade?.toLowerCase() !== "websocket") {
      throw new AppError("VALIDATION", "only WebSocket is spoken here");
    }
    if (!(incoming.headers["sec-websocket-protocol"] ?? "").split(",").some((offered) => offered.trim() === EXEC_SUBPROTOCOL)) {
      throw new AppError("VALIDATION", `the client does not speak ${EXEC_SUBPROTOCOL}`, {
        hint: `send Sec-WebSocket-Protocol: ${EXEC_SUBPROTOCOL}`,
      });
    }
    if (stopping.aborted) throw new AppError("SERVER_UNREACHABLE", "the server is shutting down");
    await app.sandboxes.get(name.data);
    return { name: name.data, actor };
  }
}

/** The HTTP server has let go of this socket and its deadlines with it; a peer that never closes its side must not keep it. */
function refuse(socket: Duplex, { status, body }: ReturnType<typeof failureOf>): void {
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once("close", () => clearTimeout(timer));
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new AppError("VALIDATION", `path: ${messageOf(cause)}`);
  }
}
