/**
 * Both ends of many idle connections, in a process of their own, so that their descriptors are not the gateway's: prints the port of a
 * server that never answers; then, for a line `{"tunnels": […], "kept": […], "hello": hex, "request": text}`, whose lists hold a port for
 * each connection, opens all of them, and prints when the hello of every tunnel has arrived at the server and every other one has an
 * answer to its request. Ends with its input.
 */
import { createServer, connect, type AddressInfo } from "node:net";
import { createInterface } from "node:readline";

const say = (what: unknown): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
let arrived = 0;
let wanted = Number.POSITIVE_INFINITY;
const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.once("data", () => {
    arrived += 1;
    if (arrived === wanted) say({ arrived });
  });
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => say({ port: (server.address() as AddressInfo).port }));

type Wanted = { readonly tunnels: readonly number[]; readonly kept: readonly number[]; readonly hello: string; readonly request: string };

/** One after another by the dozen, as far as the queue of a listener reaches. */
async function openAll(ports: readonly number[], first: Buffer, onAnswer: () => void): Promise<void> {
  for (const [i, port] of ports.entries()) {
    const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(first));
    socket.once("data", onAnswer);
    socket.on("error", (error) => say({ error: error.message }));
    socket.on("close", () => say({ error: "closed" }));
    if (i % 32 === 31) await new Promise((resolve) => socket.once("connect", resolve));
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { tunnels, kept, hello, request } = JSON.parse(line) as Wanted;
  wanted = tunnels.length + kept.length;
  const arrive = (): void => {
    arrived += 1;
    if (arrived === wanted) say({ arrived });
  };
  await openAll(tunnels, Buffer.from(hello, "hex"), () => say({ error: "a tunnel was answered" }));
  await openAll(kept, Buffer.from(request), arrive);
}
process.exit(0);
