/**
 * Both ends of many idle tunnels, in a process of their own, so that their descriptors are not the gateway's: prints the port of a server
 * that never answers; then, for a line `{"ports": […], "each": n, "hello": hex}`, opens n connections to each port, and prints when the
 * hello of every one of them has arrived at the server. Ends with its input.
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

for await (const line of createInterface({ input: process.stdin })) {
  const { ports, each, hello } = JSON.parse(line) as { ports: number[]; each: number; hello: string };
  wanted = ports.length * each;
  const bytes = Buffer.from(hello, "hex");
  for (const port of ports)
    for (let i = 0; i < each; i += 1) {
      const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(bytes));
      socket.on("error", (error) => say({ error: error.message }));
      if (i % 32 === 31) await new Promise((resolve) => socket.once("connect", resolve));
    }
}
process.exit(0);
