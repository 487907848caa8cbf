import type { Connection } from "./accept/connection.ts";
import type { Exchange } from "./exchange/exchange.ts";
import type { CallGate } from "./admission.ts";
import type { GatewayOptions } from "./options.ts";
import type { ServerContexts } from "./tls/contexts.ts";
import type { Drains } from "./upstream/drains.ts";
import type { Origins } from "./upstream/origin.ts";
import type { CountedResponses } from "../usage/counted-responses.ts";
import type { Resolve } from "./upstream/resolve.ts";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** What every part of one gateway shares. */
export type Runtime = Pick<
  GatewayOptions,
  "providers" | "includeUsage" | "costOf" | "limits" | "report" | "metrics" | "log" | "clock" | "upstreams" | "upstreamProxy"
> & {
  /** responses whose tokens were counted: a poll has the same ones each time */
  readonly counted: CountedResponses;
  readonly gate: CallGate;
  /** absent: the upstream of a client that leaves is cancelled at once */
  readonly drains: Drains | undefined;
  readonly resolve: Resolve;
  readonly contexts: ServerContexts;
  readonly origins: Origins;
  readonly attachments: Set<AsyncDisposable>;
  /** starts an exchange's way through the interceptors */
  serve(exchange: Exchange): void;
  /** hands a connection over to HTTP/1.1 */
  acceptHttp1(connection: Connection, socket: Socket | TLSSocket): void;
  /** hands a connection over to HTTP/2 */
  acceptHttp2(connection: Connection, socket: TLSSocket): void;
};
