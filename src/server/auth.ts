import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { userInfo } from "node:os";
import { AppError } from "../base/error.ts";
import type { Secret } from "../base/secret.ts";
import type { Actor, AuthEvent } from "../schema/event.ts";
import { isLoopbackAddress, plainAddress } from "./origin.ts";
import { peerUid } from "./peer-uid.ts";

export type Transport = "unix" | "tcp";

/** A caller that shows a key. The key's name is the `user_id` of what it does. */
export type ApiKey = { readonly name: string; readonly key: Secret; readonly email?: string; readonly orgId?: string };

/** A request that is let in or turned away. */
export type AuthRequest = { readonly transport: Transport; readonly path: string; readonly requestId: string };

export type Admission = { readonly method: AuthEvent["method"]; readonly actor: Actor };
export type Refusal = { readonly method: AuthEvent["method"]; readonly reason: string; readonly actor: Actor; readonly hint?: string };

class RefusedError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.refusal = refusal;
  }
}

export type AuthenticatorOptions = {
  readonly keys: readonly ApiKey[];
  /** told of every request that was let in */
  readonly onAdmitted: (admission: Admission, request: AuthRequest) => void;
  /** told of every caller that was turned away */
  readonly onRefused: (refusal: Refusal, request: AuthRequest) => void;
  /** uid of the process at the other end; for tests */
  readonly peerUid?: (socket: Socket) => Promise<number | undefined>;
  /** uid whose calls are taken on loopback without a key; for tests */
  readonly ownUid?: number;
};

/**
 * Who is calling: on the Unix socket the user it belongs to, since nobody else can open it but root, who can be that user as well
 * (Node does not tell a peer's credentials, SO_PEERCRED); with an API key that key's name; on loopback without keys the user of this
 * process, found by the uid that owns the connecting socket.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #self: Actor = { kind: "user", user_id: userName() };
  readonly #digests: readonly Buffer[];
  /** a connection keeps its owner */
  readonly #owners = new WeakMap<Socket, Promise<number | undefined>>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#digests = options.keys.map(({ key }) => digest(key.reveal()));
  }

  /** @throws AppError UNAUTHENTICATED */
  async authenticate(incoming: IncomingMessage, request: AuthRequest): Promise<Actor> {
    try {
      const admission: Admission =
        request.transport === "unix" ? { method: "unix_socket", actor: this.#self } : await this.#identify(incoming);
      this.#options.onAdmitted(admission, request);
      return admission.actor;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      const { refusal } = error;
      this.#options.onRefused(refusal, request);
      throw new AppError("UNAUTHENTICATED", refusal.reason, refusal.hint === undefined ? {} : { hint: refusal.hint });
    }
  }

  async #identify(incoming: IncomingMessage): Promise<Admission> {
    const address = plainAddress(incoming.socket.remoteAddress ?? "");
    const authorization = incoming.headers.authorization;
    // a key that is shown is judged, and never ignored in favour of another way in
    if (authorization !== undefined || this.#options.keys.length > 0)
      return { method: "api_key", actor: this.#byKey(authorization, address) };
    return { method: "loopback_uid", actor: await this.#byOwner(incoming.socket, address) };
  }

  #byKey(authorization: string | undefined, address: string): Actor {
    const shown = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (authorization === undefined || shown === undefined) {
      throw refuse("api_key", "no API key was sent", address, "send Authorization: Bearer KEY");
    }
    const given = digest(shown);
    let found: ApiKey | undefined;
    // every key is compared, and digests have one length, so that time tells nothing
    for (const [i, key] of this.#options.keys.entries()) if (timingSafeEqual(given, this.#digests[i] ?? given)) found = key;
    if (found === undefined) {
      const none = this.#options.keys.length === 0;
      throw refuse(
        "api_key",
        none ? "an API key was sent, but this server has none" : "the API key is not valid",
        address,
        none ? "leave out the key, or set one under [server] api_key" : undefined,
      );
    }
    return {
      kind: "api_key",
      user_id: found.name,
      ...(found.email === undefined ? {} : { email: found.email }),
      ...(found.orgId === undefined ? {} : { org_id: found.orgId }),
      ip_address: address,
    };
  }

  async #byOwner(socket: Socket, address: string): Promise<Actor> {
    const hint = "set a key under [server] api_key and send it as Authorization: Bearer KEY";
    if (!isLoopbackAddress(address)) throw refuse("loopback_uid", "callers from other machines need an API key", address, hint);
    let owner = this.#owners.get(socket);
    if (owner === undefined) {
      owner = (this.#options.peerUid ?? peerUid)(socket);
      this.#owners.set(socket, owner);
    }
    const uid = await owner;
    if (uid === undefined) throw refuse("loopback_uid", "the caller's user could not be determined", address, hint);
    if (uid !== (this.#options.ownUid ?? process.getuid?.())) {
      throw refuse("loopback_uid", "another user of this machine needs an API key", address, hint, `uid:${uid}`);
    }
    return { ...this.#self, ip_address: address };
  }
}

function refuse(method: Refusal["method"], reason: string, address: string, hint?: string, userId = "unknown"): RefusedError {
  const actor: Actor = { kind: method === "api_key" ? "api_key" : "user", user_id: userId, ip_address: address };
  return new RefusedError({ method, reason, actor, ...(hint === undefined ? {} : { hint }) });
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // a uid without a line in passwd, as in many containers
    return `uid:${process.getuid?.() ?? "unknown"}`;
  }
}
