import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { AppError, errnoOf } from "../../base/error.ts";
import type { AddressClass } from "../../policy/address.ts";
import { BUILT_IN_RULES, type Decision } from "../../policy/decision.ts";
import type { Policy } from "../../policy/policy.ts";
import type { Origin } from "./origin.ts";
import type { UpstreamProxy } from "../options.ts";
import { connectThrough } from "./proxy.ts";
import { resolveWithin, type Resolve } from "./resolve.ts";

export type Dialled = { readonly socket: Socket; readonly address: string; readonly addressClass: AddressClass | undefined };

/** Every address of a host was judged and none may be dialled. */
export class AddressDenied extends Error {
  readonly decision: Decision;
  readonly address: string;

  constructor(decision: Decision, address: string) {
    super(decision.reason);
    this.name = "AddressDenied";
    this.decision = decision;
    this.address = address;
  }
}

export type DialOptions = {
  readonly policy: Policy;
  readonly resolve: Resolve;
  readonly connectTimeoutMs: number;
  /** `tunnel`: the sandbox speaks TLS with the origin itself */
  readonly tls: "verify" | "tunnel";
  readonly proxy: UpstreamProxy | undefined;
};

// a name with a hundred addresses must not make one exchange try for minutes
const MAX_ATTEMPTS = 4;

/**
 * Resolves once, judges every address, dials the judged ones in turn. A second resolution between judging and dialling, which is
 * what DNS rebinding needs, does not happen: what is dialled is an address.
 *
 * @throws AddressDenied when policy forbids every address
 * @throws AppError UPSTREAM_ERROR or TIMEOUT
 */
export async function dial(origin: Origin, options: DialOptions): Promise<Dialled> {
  const addresses =
    origin.host.kind === "name" ? await resolveWithin(options.resolve, origin.host.text, options.connectTimeoutMs) : [origin.host.text];
  const vetted: { readonly address: string; readonly decision: Decision }[] = [];
  let denied: AddressDenied | undefined;
  for (const address of addresses) {
    const decision = judge(options.policy, origin, address);
    if (decision.verdict === "allow") vetted.push({ address, decision });
    else denied ??= new AddressDenied(decision, address);
  }
  if (vetted.length === 0) throw denied ?? new AppError("UPSTREAM_ERROR", `${origin.host.text} has no address`);
  const attempts = vetted.slice(0, MAX_ATTEMPTS);
  let failure: unknown;
  for (const { address, decision } of attempts) {
    try {
      const timeoutMs = Math.ceil(options.connectTimeoutMs / attempts.length);
      // what the operator named is reached directly: it stands on this machine or in this network
      const through =
        options.proxy === undefined || origin.trusted
          ? undefined
          : await connectThrough(options.proxy, authority(address, origin.port), timeoutMs);
      const socket = await open(origin, address, options.tls, timeoutMs, through);
      return { socket, address, addressClass: decision.address };
    } catch (error) {
      failure = error;
      // another address of the same name has the same certificate
      if (isCertificateError(error)) break;
    }
  }
  if (failure instanceof AppError) throw failure;
  throw new AppError("UPSTREAM_ERROR", describe(origin, failure), { cause: failure, details: { errno: errnoOf(failure) ?? "unknown" } });
}

function judge(policy: Policy, origin: Origin, address: string): Decision {
  try {
    return policy.decideAddress(origin.host, address, { port: origin.port, trusted: origin.trusted });
  } catch {
    return { verdict: "deny", rule: BUILT_IN_RULES.error, reason: "The address could not be judged, so it is denied.", policy: policy.ref };
  }
}

function authority(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `through`: a connection that leads there already. */
function open(origin: Origin, address: string, mode: "verify" | "tunnel", timeoutMs: number, through: Socket | undefined): Promise<Socket> {
  const secure = origin.scheme === "https" && mode === "verify";
  if (through !== undefined && !secure) return Promise.resolve(ready(through));
  return new Promise((resolve, reject) => {
    const socket: Socket | TLSSocket = secure
      ? connectTls({
          ...(through === undefined ? {} : { socket: through }),
          // without a name Node holds the certificate against the address itself; given a socket and no address, against "localhost"
          host: address,
          port: origin.port,
          ...(origin.servername === "" ? {} : { servername: origin.servername }),
          ...(origin.context === undefined ? {} : { secureContext: origin.context }),
          ALPNProtocols: ["http/1.1"],
          rejectUnauthorized: true,
        })
      : connectTcp({ host: address, port: origin.port });
    const timer = setTimeout(
      () => socket.destroy(new AppError("TIMEOUT", `${origin.host.text} (${address}) did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onError = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    // a peer that hangs up in the middle of the handshake closes without an error
    const onClose = (): void => onError(new Error("the connection was closed before it was ready"));
    socket.once("error", onError);
    socket.once("close", onClose);
    socket.once(secure ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      socket.off("error", onError);
      socket.off("close", onClose);
      resolve(ready(socket));
    });
  });
}

function ready(socket: Socket): Socket {
  // an idle connection may break while nobody uses it; its close is what the pool acts on
  socket.on("error", () => socket.destroy());
  socket.setNoDelay(true);
  // finds dead peers below the idle limit of an hour, without a byte of payload
  socket.setKeepAlive(true, 60_000);
  return socket;
}

/** Node reports verification failures by these codes (OpenSSL's names) and hostname mismatches by its own. */
export function isCertificateError(error: unknown): boolean {
  const code = errnoOf(error);
  return code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT|CRL_|INVALID_CA|HOSTNAME_MISMATCH/.test(code);
}

function describe(origin: Origin, error: unknown): string {
  const name = `${origin.host.text}:${origin.port}`;
  if (isCertificateError(error)) return `the certificate of ${name} is not trusted`;
  return `${name} could not be reached`;
}
