import type { ProviderId } from "../../schema/provider.ts";
import type { PathNode } from "../json/paths.ts";
import type { RequestFacts, ResponseFacts } from "../types.ts";

/** One model call that was made within a WebSocket. */
export type SocketCall = {
  readonly operation: string;
  readonly request: RequestFacts;
  readonly response: ResponseFacts;
};

/** What one message held at the paths of its direction; the last of several values of a slot. */
export type Found = {
  get(slot: string): unknown;
  /** the values by slot, in the order in which they stood */
  readonly values: ReadonlyMap<string, unknown>;
  readonly textBytes: number;
};

export type SocketEnd = "complete" | "aborted" | "error";

export type SessionOptions = {
  readonly provider: ProviderId;
  readonly operation: string;
  /** model, where the handshake named it */
  readonly model: string | null;
  emit(call: SocketCall): void;
};

/** Follows one WebSocket: which calls were made in it, and what each of them used. Methods must not throw. */
export interface SocketSession {
  client(message: Found): void;
  server(message: Found): void;
  /** the socket closed: what is open is reported as far as it is known */
  end(how: SocketEnd): void;
}

/** How the messages of a WebSocket are read. */
export interface SocketShape {
  readonly client: PathNode;
  readonly server: PathNode;
  open(options: SessionOptions): SocketSession;
}
