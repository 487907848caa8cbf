import { createServer } from "node:net";

/** A TCP port of loopback that was free a moment ago, for a test that needs the number before anybody listens. */
export async function freePort(): Promise<{ readonly port: number }> {
  await using server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port };
}
