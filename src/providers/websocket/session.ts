import type { ProviderId } from "../../schema/provider.ts";
import type { PathNode } from "../json/paths.ts";
import type { RequestFacts, ResponseFacts } from "../types.ts";

/** One model call that was made within a WebSocket. */
export type SocketCall = {
  readonly operation: string;
  readonly request: RequestFacts;
  readonly response: ResponseFacts;
  /** an ask of the client's led to it, the oldest one that is open; false: the server made it by itself */
  readonly wasAsked: boolean;
};

/** What a message of the client asks for. */
export type SocketAsk = {
  /** `call`: a model call; `name`: it only says which model later ones are for */
  readonly kind: "call" | "name";
  readonly operation: string;
  readonly request: RequestFacts;
  /** why it cannot be followed; whoever limits calls must refuse it */
  readonly fault?: string;
};

/** What one message held at the paths of its direction; the last of several values of a slot. */
export type Found = {
  get(slot: string): unknown;
  /** the same key twice with two values, or spelt in two ways: who reads it decides which one counts */
  readonly isAmbiguous: boolean;
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
  /** empty: it asks for nothing that is paid */
  client(message: Found): readonly SocketAsk[];
  /** the last message of the client that asked for a call did not pass */
  withdrawn(): void;
  server(message: Found): void;
  /** the socket closed: what is open is reported as far as it is known */
  end(how: SocketEnd): void;
}

/** How the messages of a WebSocket are read. */
export interface SocketShape {
  readonly client: PathNode;
  readonly server: PathNode;
  /** what it uses has no end before the socket's: nothing of it can be reserved call by call */
  readonly isOneCall?: true;
  open(options: SessionOptions): SocketSession;
}
