import type { Socket } from "node:net";

/** Where the sandbox's program thought it was connecting to. */
export type Destination = { readonly address: string; readonly port: number };

export type DestinationOf = (socket: Socket) => Destination | undefined;

/**
 * The original destination of a connection that was accepted through AnyIP routing: its local address. The remote address is
 * forgeable and may be undefined; the local one is always there (sandbox.md §4.2).
 */
export function destinationOf(socket: Socket): Destination | undefined {
  const { localAddress, localPort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  return {
    address: localAddress.startsWith("::ffff:") && localAddress.includes(".") ? localAddress.slice(7) : localAddress,
    port: localPort,
  };
}
